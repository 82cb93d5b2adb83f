"""Whatever the algorithm and the environment: who is killed at a checkpoint and goes on ends as if nothing had been."""

import copy
import random
from collections import defaultdict, deque
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation, NormalizeObservation, RecordEpisodeStatistics
from rl_zoo3.wrappers import DelayedRewardWrapper, FrameSkip, HistoryWrapper
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, RecurrentPPO
from sb3_contrib.common.wrappers import TimeFeatureWrapper
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_mimic.checkpoints import RunStateCallback
from sb3_mimic.checkpoints.buffer_state import capture_dicts, restore_dicts
from sb3_mimic.checkpoints.env_state import capture_env, restore_env
from sb3_mimic.checkpoints.plain import Recorder, Restorer
from sb3_mimic.checkpoints.state_file import read_state, state_file

NET = {"net_arch": [16]}
ON_POLICY = {"n_steps": 20, "policy_kwargs": NET}
OFF_POLICY = {"learning_starts": 20, "batch_size": 16, "buffer_size": 90, "policy_kwargs": NET}
HER = {**OFF_POLICY, "learning_starts": 60, "buffer_size": 500, "replay_buffer_class": HerReplayBuffer}
NOISE = OrnsteinUhlenbeckActionNoise(np.zeros(1), np.full(1, 0.3))


def short(env_id: str, steps: int = 30) -> gym.Env:
    """Episodes end now and then while a test runs"""
    return gym.make(env_id, max_episode_steps=steps)


def plain(env_id: str, n_envs: int = 2, wrap=lambda env: env, vec_env_cls=DummyVecEnv):
    return make_vec_env(lambda: wrap(short(env_id)), n_envs=n_envs, seed=3, vec_env_cls=vec_env_cls)


CARTPOLE, PENDULUM = partial(plain, "CartPole-v1"), partial(plain, "Pendulum-v1")
SPARSE = partial(plain, "MimicReacher3DSparse-v0")
STATE = partial(plain, "MimicReacher3DState-v0")


def layers() -> VecFrameStack:
    venv = DummyVecEnv([partial(short, "Pendulum-v1")] * 2)
    venv.seed(3)
    return VecFrameStack(VecNormalize(VecMonitor(venv)), n_stack=2)


ALGORITHMS = {
    "PPO": (PPO, "MlpPolicy", CARTPOLE, {**ON_POLICY, "batch_size": 20}),
    "PPO with gSDE": (PPO, "MlpPolicy", PENDULUM, {**ON_POLICY, "batch_size": 20, "use_sde": True}),
    "A2C": (A2C, "MlpPolicy", CARTPOLE, ON_POLICY),
    "A2C, layers": (A2C, "MlpPolicy", layers, ON_POLICY),
    "TRPO": (TRPO, "MlpPolicy", PENDULUM, {**ON_POLICY, "batch_size": 20}),
    "RecurrentPPO": (RecurrentPPO, "MlpLstmPolicy", CARTPOLE, {**ON_POLICY, "batch_size": 20}),
    "SAC": (SAC, "MlpPolicy", PENDULUM, OFF_POLICY),
    "SAC with gSDE": (SAC, "MlpPolicy", PENDULUM, {**OFF_POLICY, "use_sde": True, "train_freq": 10}),
    "SAC, n steps": (SAC, "MlpPolicy", PENDULUM, {**OFF_POLICY, "replay_buffer_class": NStepReplayBuffer}),
    "SAC on MuJoCo": (SAC, "MlpPolicy", partial(plain, "Pusher-v5"), OFF_POLICY),
    "CrossQ": (CrossQ, "MlpPolicy", PENDULUM, OFF_POLICY),
    "TD3": (TD3, "MlpPolicy", PENDULUM, {**OFF_POLICY, "action_noise": NOISE}),
    "DDPG": (DDPG, "MlpPolicy", partial(PENDULUM, 1), {**OFF_POLICY, "action_noise": NOISE}),
    "DQN": (DQN, "MlpPolicy", CARTPOLE, {**OFF_POLICY, "target_update_interval": 30, "exploration_fraction": 0.9}),
    "DQN, in little memory": (DQN, "MlpPolicy", partial(CARTPOLE, 1), {**OFF_POLICY, "optimize_memory_usage": True}),
    "QRDQN": (QRDQN, "MlpPolicy", CARTPOLE, {**OFF_POLICY, "policy_kwargs": {**NET, "n_quantiles": 5}}),
    "TQC, HER": (TQC, "MultiInputPolicy", SPARSE, {**HER, "replay_buffer_kwargs": {"goal_selection_strategy": "future"}}),
    "SAC, HER, normalised": (SAC, "MultiInputPolicy", lambda: VecNormalize(SPARSE(), norm_obs_keys=["observation"]), HER),
    "TQC, HER with infos": (TQC, "MultiInputPolicy", STATE, {**HER, "replay_buffer_kwargs": {"copy_info_dict": True}}),
}


def make(kind: str):
    algorithm, policy, make_venv, kwargs = ALGORITHMS[kind]
    if kwargs.get("optimize_memory_usage"):
        kwargs = {**kwargs, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
    # SB3 adds to policy_kwargs
    return algorithm(policy, make_venv(), seed=3, device="cpu", **copy.deepcopy(kwargs))


def weights(model) -> list[np.ndarray]:
    values = [*model.policy.state_dict().values(), *(getattr(model, "log_ent_coef", None),)]
    return [value.detach().numpy().copy() for value in values if isinstance(value, th.Tensor)]


def train(model, n_steps: int = 240, **kwargs):
    model.learn(n_steps, callback=CallbackList([RunStateCallback(verbose=0, **kwargs), *kwargs.pop("others", ())]))
    model.get_env().close()
    return weights(model)


def assert_goes_on(make_model, folder: Path) -> None:
    """Three trainings: one left alone, and one that ends in its middle and goes on in another model"""
    expected = train(make_model(), save_path=str(folder), save_freq=120)
    checkpoint = folder / "rl_model_120_steps.zip"
    model = make_model()
    model.set_parameters(checkpoint)
    continued = train(model, resume_from=str(checkpoint))
    for ours, theirs in zip(continued, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_goes_on_bit_by_bit(kind, tmp_path):
    assert_goes_on(partial(make, kind), tmp_path)


WRAPPERS = {
    "time feature": ("Pendulum-v1", TimeFeatureWrapper),
    "history": ("Pendulum-v1", HistoryWrapper),
    "delayed reward": ("Pendulum-v1", lambda env: DelayedRewardWrapper(FrameSkip(env, 2), 7)),
    "stacked and normalised": ("Pendulum-v1", lambda env: FrameStackObservation(NormalizeObservation(env), 3)),
    "statistics": ("CartPole-v1", RecordEpisodeStatistics),
    "on our own": ("MimicReacherPlaneState-v0", TimeFeatureWrapper),
}


def make_wrapped(kind: str, vec_env_cls=DummyVecEnv) -> PPO:
    env_id, wrap = WRAPPERS[kind]
    # As the zoo has it: around the time limit
    venv = plain(env_id, wrap=wrap, vec_env_cls=vec_env_cls)
    policy = "MultiInputPolicy" if isinstance(venv.observation_space, spaces.Dict) else "MlpPolicy"
    # A rollout ends in the middle of an episode
    return PPO(policy, venv, seed=3, device="cpu", n_steps=20, batch_size=20, policy_kwargs={"net_arch": [16]})


@pytest.mark.parametrize("kind", WRAPPERS)
def test_the_state_of_wrappers_goes_on(kind, tmp_path):
    assert_goes_on(partial(make_wrapped, kind), tmp_path)


@pytest.mark.parametrize("kind", ["time feature", pytest.param("on our own", marks=pytest.mark.slow)])
def test_the_state_of_wrappers_in_workers_goes_on(kind, tmp_path):
    assert_goes_on(partial(make_wrapped, kind, SubprocVecEnv), tmp_path)


class Casino(gym.Env):
    """Has its state in all kinds of places"""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self):
        self.dice = np.random.RandomState(1)
        self.table = spaces.Dict({"x": spaces.Box(-1, 1, (1,), seed=2)})
        self.last = deque(maxlen=3)
        self.sums = {0: np.float32(0.1), (1, 2): [0]}
        self.shared = self.sums[1, 2]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.last.clear()
        return self._observe(), {}

    def step(self, action):
        self.last.append(self.dice.uniform())
        self.shared.append(float(self.table.sample()["x"][0]))
        self.sums[0] += np.float32(self.np_random.normal())
        return self._observe(), float(sum(self.last)), self.sums[0] > 3, False, {}

    def _observe(self):
        return np.array([self.sums[0] * 0.3, sum(self.sums[1, 2][-5:]) + sum(self.last)])


def test_state_in_all_kinds_of_places_goes_on(tmp_path):
    def make_casino() -> A2C:
        return A2C("MlpPolicy", make_vec_env(Casino, 2, seed=1), n_steps=20, device="cpu", seed=3, policy_kwargs=NET)

    assert_goes_on(make_casino, tmp_path)


def test_what_was_shared_is_shared_again():
    env, other = Casino(), Casino()
    env.reset(seed=1)
    env.step(0)
    assert restore_env(other, capture_env(env)) == []
    assert other.shared is other.sums[1, 2]
    assert other.last == env.last
    assert other.last.maxlen == 3
    assert type(other.sums[0]) is np.float32
    assert other.dice.uniform() == env.dice.uniform()


class Haunted(gym.Wrapper):
    """Has a part that nobody can look into"""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.ghost = memoryview(b"boo")
        self.screen = memoryview(b"nobody needs it")
        self.count = 0

    def step(self, action):
        self.count += 1
        return super().step(action)


@pytest.mark.parametrize("vec_env_cls", [DummyVecEnv, pytest.param(SubprocVecEnv, marks=pytest.mark.slow)])
def test_what_cannot_be_kept_is_named_at_the_start(vec_env_cls, tmp_path):
    model = A2C("MlpPolicy", plain("CartPole-v1", wrap=Haunted, vec_env_cls=vec_env_cls), n_steps=20, device="cpu")
    with pytest.warns(UserWarning, match=r"not be the same.*Haunted\.ghost \(an object of builtins\.memory") as told:
        train(model, 80, save_path=str(tmp_path), save_freq=40)
    assert len(told) == 1, "once"
    assert "screen" not in str(told[0].message)
    state = read_state(state_file(tmp_path / "rl_model_40_steps.zip"))
    haunted = next(each for each in state["venv"]["envs"][0]["chain"] if each["class"] == "Haunted")
    assert haunted["attributes"]["count"] == 20
    assert not {"ghost", "screen"} & haunted["attributes"].keys()
    model = A2C("MlpPolicy", plain("CartPole-v1", wrap=Haunted, vec_env_cls=vec_env_cls), n_steps=20, device="cpu")
    with pytest.warns(UserWarning, match=r"goes on.*not bit by bit: Haunted\.ghost"):
        train(model, 80, resume_from=str(tmp_path / "rl_model_40_steps.zip"))


class Broken(gym.Wrapper):
    """Promises what it does not keep"""

    def run_state(self):
        raise ZeroDivisionError("run_state of another")

    def restore_run_state(self, state):
        pass


def test_what_raises_is_named(tmp_path):
    model = A2C("MlpPolicy", plain("CartPole-v1", wrap=Broken), n_steps=20, device="cpu")
    with pytest.warns(UserWarning, match=r"Broken \(ZeroDivisionError\('run_state of another'\)\)"):
        train(model, 40, save_path=str(tmp_path), save_freq=40)
    assert state_file(tmp_path / "rl_model_40_steps.zip").is_file()


class Secretive(BaseCallback):
    def __init__(self):
        super().__init__()
        self.memory = [0]

    def _on_training_start(self) -> None:
        self.secret = memoryview(b"?")

    def _on_step(self) -> bool:
        self.memory.append(self.num_timesteps)
        return True


def test_callbacks_of_others_go_on(tmp_path):
    def learn(n_steps: int, **kwargs):
        every = EveryNTimesteps(50, Secretive())
        model = A2C("MlpPolicy", CARTPOLE(), n_steps=20, device="cpu", seed=3)
        evaluation = EvalCallback(CARTPOLE(1), eval_freq=20, n_eval_episodes=1, verbose=0)
        model.learn(n_steps, callback=[RunStateCallback(verbose=0, **kwargs), every, evaluation])
        return every.callback.memory, evaluation.evaluations_results, evaluation.evaluations_timesteps

    # It comes by its secret later than the training begins
    with pytest.warns(UserWarning, match=r"at step 120 is missing: Secretive\.secret"):
        expected = learn(240, save_path=str(tmp_path), save_freq=120)
    with pytest.warns(UserWarning, match=r"not bit by bit: Secretive\.secret"):
        assert learn(240, resume_from=str(tmp_path / "rl_model_120_steps.zip")) == expected


@pytest.mark.parametrize("broken", ["capture", "write_state", "save"])
def test_no_checkpoint_ends_a_training(broken, tmp_path, monkeypatch):
    """Whatever is raised; and the zip is written where the state alone cannot be"""

    def fail(*args, **kwargs):
        raise RuntimeError("something of another")

    model = A2C("MlpPolicy", CARTPOLE(), n_steps=20, device="cpu")
    where = {"capture": "callback.capture", "write_state": "files.write_state"}.get(broken)
    if where is None:
        monkeypatch.setattr(model, "save", fail)
    else:
        monkeypatch.setattr(f"sb3_mimic.checkpoints.{where}", fail)
    with pytest.warns(UserWarning, match="something of another"):
        train(model, 80, save_path=str(tmp_path), save_freq=40)
    assert model.num_timesteps == 80
    zips = [] if broken == "save" else ["rl_model_40_steps.zip", "rl_model_80_steps.zip"]
    assert sorted(path.name for path in tmp_path.iterdir()) == zips


def test_other_arguments_of_an_environment_are_kept_and_told(tmp_path):
    def make_pendulum(g: float) -> A2C:
        return A2C("MlpPolicy", make_vec_env("Pendulum-v1", 2, env_kwargs={"g": g}), n_steps=20, device="cpu")

    train(make_pendulum(9.81), 40, save_path=str(tmp_path), save_freq=40)
    model = make_pendulum(0.0)
    with pytest.warns(UserWarning, match=r"not bit by bit: g=0\.0 in place of 9\.81\."):
        model.learn(80, callback=RunStateCallback(resume_from=str(tmp_path / "rl_model_40_steps.zip"), verbose=0))
    assert model.get_env().get_attr("g") == [0.0, 0.0]


def test_another_wrapper_is_told(tmp_path):
    train(make_wrapped("delayed reward"), 40, save_path=str(tmp_path), save_freq=40)
    model = PPO("MlpPolicy", PENDULUM(), n_steps=20, batch_size=20, device="cpu", policy_kwargs={"net_arch": [16]})
    with pytest.warns(UserWarning, match="no DelayedRewardWrapper, which was there before; no FrameSkip"):
        train(model, 80, resume_from=str(tmp_path / "rl_model_40_steps.zip"))


def test_ars_goes_on_but_is_told_not_to_be_exact(tmp_path):
    def make_ars() -> ARS:
        return ARS("LinearPolicy", PENDULUM(1), n_delta=2, device="cpu", seed=3)

    with pytest.warns(UserWarning, match="cannot be kept: ARS, which draws"):
        train(make_ars(), 300, save_path=str(tmp_path), save_freq=100)
    model = make_ars()
    with pytest.warns(UserWarning, match="not bit by bit: ARS"):
        train(model, 480, resume_from=str(next(tmp_path.glob("*_steps.zip"))))
    assert model.num_timesteps >= 480


def test_infos_are_kept_in_columns():
    infos = [
        {"is_success": True, "goal": np.arange(3.0), "TimeLimit.truncated": False},
        {},
        {"goal": np.arange(2), "score": np.float32(0.1), "episode": {"r": 1.5, "l": 7}, "is_success": False},
        {"words": ["a", None, 3], "score": 0.1, "deep": {"deeper": {"x": np.zeros((2, 2), np.uint8)}}},
    ]
    missing: list[str] = []
    assert repr(restore_dicts(capture_dicts(infos, "infos", missing))) == repr(infos)
    assert missing == []
    infos[1]["engine"] = memoryview(b"?")
    kept = restore_dicts(capture_dicts(infos, "infos", missing))
    assert kept[1] == {}
    assert missing == ["infos/engine (an object of builtins.memoryview)"]


def test_random_states_and_texts_are_plain():

    values = [
        random.Random(3),
        np.random.default_rng(3),
        np.random.Generator(np.random.MT19937(1)),
        "text",
        b"bytes",
        1 << 100,
    ]
    present = [random.Random(4), np.random.default_rng(4), np.random.Generator(np.random.MT19937(2)), None, None, None]
    made = Restorer().value(Recorder().value(values, "values"), present)
    assert made[0] is present[0]
    assert made[0].random() == values[0].random()
    assert made[1].random() == values[1].random()
    assert made[2].random() == values[2].random()
    assert made[3:] == values[3:]


def test_handles_of_something_outside_are_named_and_not_put_back():
    class Engine(gym.Env):
        def __init__(self, physics_client: int):
            self._physics_client, self.pid, self.n_clients_seen = physics_client, 1, 3.0

    first, second = Engine(5), Engine(7)
    state = capture_env(first)
    assert state["missing"] == [f"Engine.{name} (a handle of something outside)" for name in ("_physics_client", "pid")]
    assert restore_env(second, state) == state["missing"]
    assert second._physics_client == 7


class Mood(Enum):
    CALM = 1
    WILD = 2


@dataclass(frozen=True)
class Goal:
    x: float


class Piece:
    def __init__(self, x: float):
        self.x = x


class Garden(gym.Env):
    """Holds objects of its own"""

    def __init__(self, n: int = 0):
        self.mood = list(Mood)[n]
        self.goal = GOALS[n]
        self.visits = defaultdict(int)
        self.pieces = [Piece(1.0), Piece(2.0)]
        self.piece = self.pieces[n]
        self.chosen = self.pieces[n]


GOALS = (Goal(0.0), Goal(1.0))


def test_objects_are_put_back_and_nothing_that_is_shared_is_spoilt():
    env, other = Garden(0), Garden(0)
    env.mood, env.goal = Mood.WILD, GOALS[1]
    env.visits["here"] += 3
    env.pieces[1].x = 5.0
    env.pieces[0].x = 4.0
    assert restore_env(other, capture_env(env)) == []
    assert (other.mood, other.goal) == (Mood.WILD, GOALS[1])
    assert (list(Mood), [each.value for each in Mood]) == ([Mood.CALM, Mood.WILD], [1, 2])
    assert (Goal(0.0), Goal(1.0)) == GOALS
    assert other.visits["here"] == 3
    assert other.visits["there"] == 0
    assert [each.x for each in other.pieces] == [4.0, 5.0]
    assert other.piece is other.pieces[0]


def test_what_is_shared_in_another_way_is_told():
    class Fork(gym.Env):
        def __init__(self):
            self.now = self.then = Piece(1.0)

    first, second = Fork(), Fork()
    first.then = Piece(3.0)
    assert restore_env(second, capture_env(first)) == ["Fork.then (TypeError('it is shared in another way than before'))"]
