"""Laws that every id obeys."""

import copy
import hashlib
import pickle
import warnings

import gymnasium as gym
import numpy as np
import psutil
import pybullet as p
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_mimic.envs.registration import ENV_IDS, WALK_ID
from sb3_mimic.errors import ClosedEnvError, EnvArgumentError

N_STEPS = 25
each_id = pytest.mark.parametrize("env_id", ENV_IDS)


def random_actions(env: gym.Env, n_steps: int = N_STEPS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n_steps, *env.action_space.shape)).astype(np.float32)


def future(env: gym.Env, actions: np.ndarray) -> list[np.ndarray]:
    """Everything that actions show, flattened; beyond the end of an episode too"""
    history = []
    for action in actions:
        observation, reward, terminated, *_ = env.unwrapped.step(action)
        history.append(np.concatenate([observation[key].ravel() for key in sorted(observation)] + [[reward, terminated]]))
    return history


def episode(env: gym.Env, seed: int = 3) -> list[np.ndarray]:
    """Everything that an episode with random actions shows, flattened"""
    observation, _ = env.reset(seed=seed)
    start = np.concatenate([observation[key].ravel() for key in sorted(observation)])
    return [start, *future(env, random_actions(env, seed=seed))]


def digest(env_id: str) -> str:
    env = gym.make(env_id)
    history = np.concatenate(episode(env))
    env.close()
    return f"{env_id} {hashlib.sha256(history.tobytes()).hexdigest()}"


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def n_worlds() -> int:
    """How many PyBullet clients are open in this process"""
    return sum(p.getConnectionInfo(physicsClientId=client)["isConnected"] for client in range(1024))


@each_id
def test_checkers_have_nothing_to_say(env_id, make_env, monkeypatch):
    """SB3's closes the environment and uses it again; Gymnasium's opens every render mode"""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "There is no display")
        sb3_check_env(make_env(env_id).unwrapped, skip_render_check=False)
        gymnasium_check_env(make_env(env_id).unwrapped)


@each_id
def test_observations_lie_in_their_finite_space(env_id, make_env):
    env = make_env(env_id)
    for space in env.observation_space.spaces.values():
        assert np.isfinite(space.low).all()
        assert np.isfinite(space.high).all()
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    for _ in range(8):
        # Long pushes in one direction drive the joints into their limits
        action = np.sign(rng.standard_normal(env.action_space.shape)).astype(np.float32)
        for _ in range(25):
            assert env.observation_space.contains(observation)
            observation = env.unwrapped.step(action)[0]


@each_id
def test_same_seed_same_episode(env_id, make_env):
    env = make_env(env_id)
    first = episode(env)
    assert not np.array_equal(first[0], episode(env, seed=4)[0])
    assert_same(first, episode(env))
    env.close()
    assert_same(first, episode(env))
    for _ in range(2):
        assert_same(first, episode(make_env(env_id)))


def test_same_seed_same_episode_in_another_process(run_python):
    code = "import sys; sys.path.insert(0, 'tests'); from test_envs import *; print(*map(digest, ENV_IDS), sep='\\n')"
    printed = run_python("-c", code, env={"PYTHONHASHSEED": "7"}).splitlines()
    for env_id in ENV_IDS:
        assert digest(env_id) in printed


@each_id
def test_copies_go_on_alike(env_id, make_env):
    env, other = make_env(env_id), make_env(env_id)
    env.reset(seed=0)
    # Hard on the limits, or on the floor
    future(env, np.sign(random_actions(env)))
    copies = [
        copy.deepcopy(env),
        copy.deepcopy(env.unwrapped),
        pickle.loads(pickle.dumps(env)),
        pickle.loads(pickle.dumps(env.unwrapped)),
    ]
    other.reset(seed=1)
    other.unwrapped.restore_run_state(pickle.loads(pickle.dumps(env.unwrapped.run_state())))
    actions = random_actions(env, seed=1)
    expected = future(env, actions)
    following = env.reset()[0]
    for each in (*copies, other):
        assert_same(expected, future(each, actions))
        observation, _ = each.reset()
        for key, value in following.items():
            np.testing.assert_array_equal(observation[key], value)
    for each in copies:
        each.close()


@each_id
def test_a_closed_environment_opens_a_new_world_at_its_reset(env_id, make_env):
    env = gym.make(env_id, render_mode="rgb_array")
    action = random_actions(env, 1)[0]
    first = episode(env)
    n_before = n_worlds()
    env.close()
    env.close()
    # Which gets the number of the closed world
    make_env(env_id).reset(seed=0)
    copies = [env, copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    for each in copies:
        with pytest.raises(ClosedEnvError, match=r"closed\. Reset its environment"):
            each.unwrapped.step(action)
        with pytest.raises(ClosedEnvError):
            each.unwrapped.render()
        with pytest.raises(ClosedEnvError):
            each.unwrapped.run_state()
    assert n_worlds() == n_before
    for each in copies:
        assert_same(first, episode(each))
        each.close()
    assert n_worlds() == n_before


@each_id
def test_bad_actions_are_refused_and_the_episode_goes_on(env_id, make_env):
    env, other = make_env(env_id), make_env(env_id)
    env.reset(seed=0)
    other.reset(seed=0)
    good = np.zeros(env.action_space.shape, np.float32)
    for bad in (np.full_like(good, np.nan), np.full_like(good, np.inf), np.append(good, 0), good[0]):
        with pytest.raises(EnvArgumentError, match=f"{len(good)} finite numbers"):
            env.unwrapped.step(bad)
    # What is beyond is clipped
    assert_same(future(env, [good, good + 5]), future(other, [good, good + 1]))


@each_id
def test_reward_is_the_sum_of_its_named_terms(env_id, make_env):
    env = make_env(env_id)
    env.reset(seed=0)
    weights = env.unwrapped.reward.weights
    for action in random_actions(env, 5):
        _, reward, _, _, info = env.step(action)
        assert {name for name in info if name.startswith("reward_")} == {f"reward_{name}" for name in weights}
        assert reward == pytest.approx(sum(info[f"reward_{name}"] for name in weights))


@each_id
def test_rendering_changes_nothing_and_shows_the_body(env_id, make_env, monkeypatch):
    # Drawn in a quarter of the time
    monkeypatch.setattr("sb3_mimic.envs.sight.eye.SUPERSAMPLING", 1)
    env, plain = make_env(env_id, render_mode="rgb_array_list"), make_env(env_id)
    env.reset(seed=0)
    plain.reset(seed=0)
    for action in random_actions(env, 2):
        observation, expected = env.step(action)[0], plain.step(action)[0]
        for key in observation:
            np.testing.assert_array_equal(observation[key], expected[key])
    pictures = env.render()
    assert len(pictures) == 3
    for picture in pictures:
        assert picture.shape == (480, 480, 3)
        assert picture.dtype == np.uint8
        assert np.ptp(picture) > 50
    assert not np.array_equal(pictures[0], pictures[-1])


@each_id
def test_unknown_render_modes_are_refused(env_id):
    for mode in ("ansi", "ansi_list"):
        with pytest.warns(UserWarning, match="not in the possible"), pytest.raises(EnvArgumentError, match="human, rgb_array"):
            gym.make(env_id, render_mode=mode)


@each_id
def test_without_a_render_mode_rendering_says_so(env_id, make_env):
    env = make_env(env_id).unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="without a render_mode"):
        assert env.render() is None


@pytest.mark.parametrize("env_id", ["MimicReacher3D-v0", "MimicReacherPlaneState-v0", WALK_ID])
def test_environments_free_their_memory(env_id):
    process, n_before = psutil.Process(), n_worlds()

    def use(n: int) -> int:
        for _ in range(n):
            env = gym.make(env_id)
            for _ in range(2):
                env.reset(seed=0)
                env.step(random_actions(env, 1)[0])
                env.close()
        return process.memory_info().rss

    before = use(20)
    assert use(50) - before < 5 * 2**20
    # Neither copies nor those that nobody closes stay
    env = gym.make(env_id)
    env.reset(seed=0)
    for _ in range(3):
        copy.deepcopy(env)
    del env
    assert n_worlds() == n_before


@pytest.mark.parametrize("make", [gym.spec("MimicReacher3D-v0").make, "sb3_mimic:MimicReacher3D-v0"], ids=["spec", "name"])
def test_subprocesses_see_the_same(make):
    """A worker knows no ids. As rl-zoo3 does it: the specification holds the entry point; or the id names our package."""
    subproc = make_vec_env(make, 2, seed=0, vec_env_cls=SubprocVecEnv)
    dummy = make_vec_env(make, 2, seed=0)
    action = np.stack([dummy.action_space.sample() for _ in range(2)])
    try:
        for ours, theirs in ((subproc.reset(), dummy.reset()), (subproc.step(action)[0], dummy.step(action)[0])):
            for key in ours:
                np.testing.assert_array_equal(ours[key], theirs[key])
    finally:
        subproc.close()
        dummy.close()
