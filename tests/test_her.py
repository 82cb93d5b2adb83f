"""Hindsight: which transitions are drawn, which goals they get, and what is computed anew for those."""

import pickle
from collections import Counter

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from point_mass import N_STEPS, Costly, Dense, PointMass, Sparse, WithMethods, WithSuccess, is_near, limited, photograph
from stable_baselines3 import HerReplayBuffer as SB3HerReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from stable_baselines3.her.goal_selection_strategy import GoalSelectionStrategy as SB3Strategy

from sb3_mimic import keys
from sb3_mimic.checkpoints.buffer_state import capture_buffer, restore_buffer
from sb3_mimic.errors import (
    BufferSizeError,
    InputError,
    MimicError,
    ObservationSpaceError,
    UnfinishedEpisodeError,
    UnsuitableEnvError,
)
from sb3_mimic.her import GoalSelectionStrategy, HerReplayBuffer, share_goal_statistics
from sb3_mimic.her.goal_functions import FETCH, GoalFunctions
from sb3_mimic.her.memory import bytes_per_transition

STRATEGIES = [strategy.value for strategy in GoalSelectionStrategy]
# What was asked for is somewhere that nothing ever gets to
ASKED = (-9.0, -9.0, -9.0)
# Episodes that have ended, by environment, and the number of steps of the one that runs
LENGTHS, N_RUNNING = {0: (3, 1, 5), 1: (4, 5)}, {0: 2, 1: 2}


def make_buffer(buffer_size=100, n_envs=2, cls=HerReplayBuffer, make_env=PointMass, **kwargs):
    venv = DummyVecEnv([make_env] * n_envs)
    if cls is HerReplayBuffer:
        # As SB3's does; None asks for the default
        kwargs.setdefault("already_achieved", "keep")
    return cls(buffer_size, venv.observation_space, venv.action_space, venv, device="cpu", n_envs=n_envs, **kwargs)


def moment(env: int, episode: int, step: int) -> tuple[float, float, float]:
    """A goal that tells when it was achieved: before the action of that step"""
    return (float(env), float(episode), float(step))


def fill(buffer, lengths=LENGTHS, n_running=N_RUNNING, truncated=False) -> None:
    """Store episodes in which every state differs from all others, those of all environments side by side"""
    steps = {
        env: [(episode, step, step == length - 1) for episode, length in enumerate(lengths[env]) for step in range(length)]
        + [(len(lengths[env]), step, False) for step in range(n_running[env])]
        for env in lengths
    }
    for row in zip(*steps.values(), strict=True):
        before, after = (
            {
                keys.OBSERVATION: np.zeros((len(row), 3), np.float32),
                keys.DESIRED_GOAL: np.array([ASKED] * len(row), np.float32),
                keys.ACHIEVED_GOAL: np.array(
                    [moment(env, episode, step + later) for env, (episode, step, _) in enumerate(row)], np.float32
                ),
            }
            for later in (0, 1)
        )
        done = np.array([is_last for *_, is_last in row])
        infos = [{"TimeLimit.truncated": truncated and bool(each), "cost": 7.0} for each in done]
        buffer.add(before, after, np.zeros((len(row), 3), np.float32), np.full(len(row), -5.0), done, infos)


def drawn(buffer, n=20_000):
    """:return: Transitions, the goals they came with, rewards and dones, each as a list of plain values"""
    sample = buffer.sample(n)
    for key in (keys.DESIRED_GOAL,):
        np.testing.assert_array_equal(sample.observations[key], sample.next_observations[key])
    before = [tuple(each) for each in sample.observations[keys.ACHIEVED_GOAL].tolist()]
    after = [tuple(each) for each in sample.next_observations[keys.ACHIEVED_GOAL].tolist()]
    assert all(b[:2] == a[:2] and a[2] == b[2] + 1 for b, a in zip(before, after, strict=True))
    goals = [tuple(each) for each in sample.observations[keys.DESIRED_GOAL].tolist()]
    return before, goals, sample.rewards.numpy()[:, 0].tolist(), sample.dones.numpy()[:, 0].tolist()


def allowed_goals(strategy: str, env: int, episode: int, step: int, lengths=LENGTHS, n_running=N_RUNNING) -> set:
    length = lengths[env][episode]
    if strategy == "random":
        ended = {(e, i): n for e in lengths for i, n in enumerate(lengths[e])}
        running = {(e, len(lengths[e])): n for e, n in n_running.items()}
        return {moment(*which, s + 1) for which, n in (ended | running).items() for s in range(n)}
    first = {"final": length, "future": step + 1, "strict_future": step + 2, "episode": 1}[strategy]
    return {moment(env, episode, s) for s in range(first, length + 1)}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_draws_its_goals_and_no_others(strategy):
    np.random.seed(0)
    buffer = make_buffer(goal_selection_strategy=strategy)
    fill(buffer)
    before, goals, rewards, _ = drawn(buffer, 60_000)
    found: dict = {}
    for transition, goal, reward in zip(before, goals, rewards, strict=True):
        if goal == ASKED:
            assert reward == -5.0, "what was not relabelled stays"
            continue
        found.setdefault(transition, Counter())[goal] += 1
        achieved = (*transition[:2], transition[2] + 1)
        assert reward == (0.0 if goal == achieved else -1.0)
    every = {moment(env, i, s) for env in LENGTHS for i, n in enumerate(LENGTHS[env]) for s in range(n)}
    expected = {each: goals for each in every if (goals := allowed_goals(strategy, *map(int, each)))}
    assert {each: set(counts) for each, counts in found.items()} == expected
    n_each = 48_000 / len(expected)
    for counts in found.values():
        assert abs(sum(counts.values()) - n_each) < 5 * n_each**0.5
        n_goal = sum(counts.values()) / len(counts)
        assert all(abs(count - n_goal) < 5 * n_goal**0.5 for count in counts.values()), "each goal is as likely"


def test_future_agrees_with_sb3():
    np.random.seed(1)
    frequencies = []
    for cls in (SB3HerReplayBuffer, HerReplayBuffer):
        buffer = make_buffer(cls=cls)
        fill(buffer)
        frequencies.append(Counter(zip(*drawn(buffer, 100_000), strict=True)))
    theirs, ours = frequencies
    assert set(theirs) == set(ours)
    for each, n in theirs.items():
        assert abs(n - ours[each]) < 6 * n**0.5, each


@pytest.mark.parametrize("k", [0, 1, 2, 4, 7])
def test_every_part_of_a_sample_is_mixed_alike(k):
    buffer = make_buffer(n_sampled_goal=k)
    fill(buffer)
    desired = buffer.sample(32 * 8).observations[keys.DESIRED_GOAL].numpy()
    n_virtual = (desired != ASKED[0]).all(axis=1).reshape(8, 32).sum(axis=1)
    assert abs(n_virtual - 32 * k / (k + 1)).max() <= 1
    assert n_virtual.sum() == 256 * k // (k + 1)


@pytest.mark.parametrize("buffer_size", [10, 12, 14, 22])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_overwritten_is_never_drawn(buffer_size, strategy):
    """An episode of which a part is gone is not drawn at all; none reaches into another"""
    lengths, n_running = {0: (3, 1, 2, 4, 3), 1: (4, 5, 3)}, {0: 1, 1: 2}
    buffer = make_buffer(buffer_size, goal_selection_strategy=strategy)
    n_rows = buffer_size // 2
    fill(buffer, lengths, n_running)
    whole = set()
    for env, each in lengths.items():
        end = 0
        for episode, length in enumerate(each):
            end += length
            if end - length >= sum(each) + n_running[env] - n_rows:
                whole |= {moment(env, episode, step) for step in range(length)}
    before, goals, *_ = drawn(buffer, 4000)
    assert set(before) == whole
    for transition, goal in zip(before, goals, strict=True):
        if goal != ASKED and strategy != "random":
            assert goal in allowed_goals(strategy, *map(int, transition), lengths, n_running)


def test_before_an_episode_ends_there_is_nothing_to_draw():
    buffer = make_buffer()
    for _ in range(2):
        with pytest.raises(UnfinishedEpisodeError, match="learning_starts larger"):
            buffer.sample(4)
        fill(buffer, {0: (), 1: ()}, {0: 3, 1: 3})


def test_one_short_episode_among_many_that_run_is_found():
    buffer = make_buffer(2000, n_envs=20)
    others = dict.fromkeys(range(1, 20), ())
    fill(buffer, {0: (1,)} | others, {0: 99} | dict.fromkeys(others, 100))
    before, goals, *_ = drawn(buffer, 500)
    assert set(before) == {moment(0, 0, 0)}
    assert set(goals) == {ASKED, moment(0, 0, 1)}


def test_where_nothing_comes_later_all_are_as_they_were():
    buffer = make_buffer(n_envs=1, goal_selection_strategy="strict_future")
    fill(buffer, {0: (1, 1)}, {0: 3})
    _, goals, *_ = drawn(buffer, 100)
    assert set(goals) == {ASKED}


def roll(buffer, n_steps: int, seed: int = 0) -> None:
    """Fill a buffer as an algorithm does"""
    venv, rng = buffer.env, np.random.default_rng(seed)
    venv.seed(seed)
    observation = venv.reset()
    for _ in range(n_steps):
        action = rng.uniform(-0.5, 0.5, (venv.num_envs, buffer.action_dim)).astype(np.float32)
        new, reward, done, infos = venv.step(action)
        following = {key: value.copy() for key, value in new.items()}
        for i in np.flatnonzero(done):
            for key in following:
                following[key][i] = infos[i]["terminal_observation"][key]
        buffer.add(observation, following, action, reward, done, infos)
        observation = new


def test_goal_and_picture_are_relabelled_together():
    buffer = make_buffer(200, make_env=lambda: limited(has_pictures=True))
    roll(buffer, 60)
    sample = buffer.sample(400)
    n_same = 0
    for found in (sample.observations, sample.next_observations):
        for vector, picture in ((keys.ACHIEVED_GOAL, keys.IMAGE), (keys.DESIRED_GOAL, keys.DESIRED_IMAGE)):
            for position, shown in zip(found[vector].numpy(), found[picture].numpy(), strict=True):
                np.testing.assert_array_equal(photograph(position), shown)
        n_same += len(np.unique(found[keys.DESIRED_GOAL].numpy(), axis=0))
    assert n_same > 100
    assert list(sample.observations) == list(buffer.observation_space.spaces), "some concatenate them in order"


def test_rewards_and_ends_are_those_of_the_new_goals():
    buffer = make_buffer(400, make_env=WithMethods)
    fill(buffer)
    before, goals, rewards, dones = drawn(buffer, 2000)
    for transition, goal, reward, done in zip(before, goals, rewards, dones, strict=True):
        if goal != ASKED:
            is_achieved = goal == (*transition[:2], transition[2] + 1)
            assert (reward, done) == (is_achieved - 1.0, float(is_achieved))
        else:
            assert done == (transition[2] == LENGTHS[int(transition[0])][int(transition[1])] - 1)


@pytest.mark.parametrize("handled", [True, False])
def test_ends_by_a_time_limit_are_as_in_sb3(handled):
    buffer = make_buffer(handle_timeout_termination=handled)
    fill(buffer, truncated=True)
    before, _, _, dones = drawn(buffer, 500)
    for transition, done in zip(before, dones, strict=True):
        is_last = transition[2] == LENGTHS[int(transition[0])][int(transition[1])] - 1
        assert done == (is_last and not handled)


def already_achieved(buffer, n=4000) -> np.ndarray:
    sample = buffer.sample(n)
    is_virtual = np.diff(np.arange(n + 1) * 4 // 5) > 0
    before, desired = (sample.observations[key].numpy()[is_virtual] for key in (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL))
    return is_near(before, desired)


@pytest.mark.parametrize("make_env", [PointMass, WithSuccess])
def test_those_already_achieved_are_redrawn_or_kept_by_their_weight(make_env):
    np.random.seed(2)
    shares = {}
    for option in ("keep", 1, 0.5, 0, "redraw"):
        buffer = make_buffer(2000, make_env=lambda: TimeLimit(make_env(), N_STEPS), already_achieved=option)
        roll(buffer, 300)
        shares[option] = already_achieved(buffer, 20_000).mean()
    p = shares["keep"]
    assert 0.1 < p < 0.9
    # Each of up to eight draws is taken with what it is worth, the ninth as it is
    for option, weight in {1: 1.0, 0.5: 0.5, 0: 0.0, "redraw": 0.0}.items():
        again = p * (1 - weight)
        expected = sum(again**i * p * weight for i in range(8)) + again**8 * p
        assert abs(shares[option] - expected) < 0.02, option


def test_by_default_they_are_redrawn_where_the_reward_is_sparse():
    shares = {}
    for reward in (Sparse, Dense, Costly):
        for option in (None, "keep"):
            np.random.seed(2)
            copies_infos = reward is Costly
            how = {"copy_info_dict": copies_infos, "already_achieved": option}
            buffer = make_buffer(2000, make_env=lambda reward=reward: limited(reward=reward()), **how)
            roll(buffer, 300)
            shares[reward, option] = already_achieved(buffer, 20_000).mean()
    assert shares[Sparse, None] < 0.2 * shares[Sparse, "keep"]
    assert shares[Dense, None] == shares[Dense, "keep"] > 0.1
    assert shares[Costly, None] == shares[Costly, "keep"] > 0.1


def test_where_success_cannot_be_known_it_is_told():
    for reward in (Dense(), Costly()):
        buffer = make_buffer(400, make_env=lambda reward=reward: limited(reward=reward), already_achieved="redraw")
        roll(buffer, 40)
        with pytest.raises(UnsuitableEnvError, match=r"goal\.is_success.*already_achieved='keep'"):
            buffer.sample(8)


def test_infos_are_kept_where_they_are_asked_for():
    buffer = make_buffer(make_env=lambda: limited(reward=Costly()), copy_info_dict=True)
    fill(buffer)
    _, goals, rewards, _ = drawn(buffer, 200)
    assert {reward for goal, reward in zip(goals, rewards, strict=True) if goal != ASKED} == {-7.0, -8.0}
    without = make_buffer(make_env=lambda: limited(reward=Costly()))
    assert without.infos.nbytes == 0
    fill(without)
    with pytest.raises(KeyError, match="cost"):
        without.sample(8)


@pytest.mark.parametrize("copies_infos", [True, False])
def test_saved_in_mid_episode_a_buffer_goes_on_as_it_would_have(copies_infos):
    kwargs = {"make_env": limited, "copy_info_dict": copies_infos, "already_achieved": "redraw"}
    buffer, other = make_buffer(60, **kwargs), make_buffer(60, **kwargs)
    roll(buffer, 43)
    buffer.sample(8)
    state = capture_buffer(buffer)
    assert not state["missing"]
    assert not restore_buffer(other, pickle.loads(pickle.dumps(state)))
    pickled = pickle.loads(pickle.dumps(buffer))
    pickled.set_env(buffer.env)
    samples = []
    for each in (buffer, other, pickled):
        roll(each, 9, seed=1)
        np.random.seed(3)
        samples.append(each.sample(64))
    for each in samples[1:]:
        for key, values in samples[0].observations.items():
            np.testing.assert_array_equal(values, each.observations[key])
        np.testing.assert_array_equal(samples[0].rewards, each.rewards)


class Counting(SubprocVecEnv):
    """Counts what goes through its pipes beside steps"""

    n_calls = 0

    def env_method(self, *args, **kwargs):
        self.n_calls += 1
        return super().env_method(*args, **kwargs)

    def get_attr(self, *args, **kwargs):
        self.n_calls += 1
        return super().get_attr(*args, **kwargs)


def test_a_reward_is_fetched_once_from_another_process():
    venv = Counting([limited, limited])
    try:
        buffer = HerReplayBuffer(
            400, venv.observation_space, venv.action_space, venv, "cpu", n_envs=2, already_achieved="redraw"
        )
        roll(buffer, 30)
        buffer.sample(64)
        n_calls = venv.n_calls
        np.random.seed(0)
        sample = buffer.sample(64)
        buffer.sample(64)
        assert venv.n_calls == n_calls
        here = make_buffer(400, make_env=limited, already_achieved="redraw")
        roll(here, 30)
        np.random.seed(0)
        np.testing.assert_array_equal(sample.rewards, here.sample(64).rewards)
    finally:
        venv.close()


def test_methods_of_another_process_are_called_once_a_sample_and_that_is_said_once():
    venv = Counting([WithMethods, WithMethods])
    try:
        how = {"n_envs": 2, "already_achieved": "keep"}
        buffer = HerReplayBuffer(400, venv.observation_space, venv.action_space, venv, "cpu", **how)
        fill(buffer)
        with pytest.warns(UserWarning, match="compute_reward is a method"):
            buffer.sample(64)
        n_calls = venv.n_calls
        _, goals, rewards, dones = drawn(buffer, 500)
        assert venv.n_calls == n_calls + 2, "one for rewards, one for ends"
        assert {(reward, done) for goal, reward, done in zip(goals, rewards, dones, strict=True) if goal != ASKED} == {
            (-1.0, 0.0),
            (0.0, 1.0),
        }
    finally:
        venv.close()


class Foreign(SubprocVecEnv):
    """Its functions are of classes that this process cannot import"""

    def env_method(self, name, *args, **kwargs):
        found = super().env_method(name, *args, **kwargs)
        if name == FETCH:
            raise ImportError("No module named 'theirs'")
        return found


def test_what_only_the_other_process_has_imported_is_called_there():
    venv = Foreign([WithMethods, WithMethods])
    try:
        with pytest.warns(UserWarning, match="every sample asks another process"):
            functions = GoalFunctions(venv)
        goals = np.eye(3, dtype=np.float32)
        np.testing.assert_array_equal(functions.rewards(goals, goals[[0, 2, 1]], [{}] * 3), [0, -1, -1])
        np.testing.assert_array_equal(functions.terminated(goals, goals[[0, 2, 1]], [{}] * 3), [1, 0, 0])
    finally:
        venv.close()


@pytest.mark.parametrize("env_id", ["MimicReacherPlaneSparse-v0", "MimicReacherPlaneState-v0"])
def test_our_own_environments_tell_success(env_id):
    """Also where the reward reads infos"""
    venv = make_vec_env(env_id, 2, seed=0)
    buffer = HerReplayBuffer(
        600, venv.observation_space, venv.action_space, venv, "cpu", n_envs=2, copy_info_dict=True, already_achieved="redraw"
    )
    roll(buffer, 110)
    n_achieved, is_virtual = [], np.diff(np.arange(1001) * 4 // 5) > 0
    for buffer.probability_kept in (1.0, 0.0):
        found = buffer.sample(1000).observations
        before, desired = (found[key].numpy()[is_virtual] for key in (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL))
        n_achieved.append(venv.envs[0].unwrapped.goal.is_success(before, desired).sum())
    assert n_achieved[0] > 20
    assert n_achieved[1] == 0
    venv.close()


def test_goals_share_their_statistics():
    venv = VecNormalize(DummyVecEnv([limited] * 2))
    with pytest.raises(InputError, match="share_goal_statistics"):
        HerReplayBuffer(100, venv.observation_space, venv.action_space, venv, n_envs=2)
    share_goal_statistics(venv)
    share_goal_statistics(venv)
    buffer = HerReplayBuffer(400, venv.observation_space, venv.action_space, venv, "cpu", n_envs=2)
    raw = make_buffer(400, make_env=limited)
    roll(raw, 40)
    buffer.__dict__.update({key: value for key, value in raw.__dict__.items() if key != "env"})
    venv.reset()
    for _ in range(50):
        venv.step(np.random.uniform(-0.5, 0.5, (2, 3)))
    seen = [venv.obs_rms[key] for key in (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL)]
    assert seen[0] is seen[1]
    assert seen[0].count == pytest.approx(2 * 51 * 2, abs=0.1)
    np.random.seed(0)
    plain = buffer.sample(64)
    np.random.seed(0)
    sample = buffer.sample(64, venv)
    for key, values in sample.observations.items():
        expected = venv.normalize_obs({k: v.numpy() for k, v in plain.observations.items()})[key]
        np.testing.assert_array_equal(values.numpy(), expected)
    copied = pickle.loads(pickle.dumps(venv))
    assert copied.obs_rms[keys.ACHIEVED_GOAL] is copied.obs_rms[keys.DESIRED_GOAL]
    for names in ([keys.OBSERVATION], [keys.OBSERVATION, keys.ACHIEVED_GOAL]):
        other = VecNormalize(DummyVecEnv([limited]), norm_obs_keys=names)
        share_goal_statistics(other)
        HerReplayBuffer(100, other.observation_space, other.action_space, other)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"goal_selection_strategy": "past"}, r"'past'. Use one of: final, future, strict_future, episode, random"),
        ({"n_sampled_goal": -1}, "n_sampled_goal must be a whole number from 0 on, got -1"),
        ({"n_sampled_goal": 2.5}, "got 2.5"),
        ({"already_achieved": "drop"}, r"keep, redraw, or a probability.*'drop'"),
        ({"already_achieved": 1.5}, "got 1.5"),
        ({"already_achieved": True}, "got True"),
    ],
)
def test_what_is_not_allowed_is_named(kwargs, message):
    with pytest.raises(InputError, match=message):
        make_buffer(**kwargs)


@pytest.mark.parametrize("strategy", [SB3Strategy.FINAL, "FINAL", GoalSelectionStrategy.FINAL])
def test_sb3s_own_strategies_are_taken(strategy):
    assert make_buffer(goal_selection_strategy=strategy).goal_selection_strategy is GoalSelectionStrategy.FINAL


def test_observations_without_goals_are_refused():
    vector, picture = spaces.Box(-1, 1, (3,)), spaces.Box(0, 255, (4, 4, 3), np.uint8)
    goals = dict.fromkeys(keys.STATE_KEYS, vector)
    cases = {
        "needs desired_goal": {keys.ACHIEVED_GOAL: vector},
        "no 'image', only": goals | {keys.DESIRED_IMAGE: picture},
        "one shape": goals | {keys.DESIRED_GOAL: spaces.Box(-1, 1, (2,))},
    }
    for message, space in cases.items():
        with pytest.raises(ObservationSpaceError, match=message):
            HerReplayBuffer(10, spaces.Dict(space), vector, None)
    with pytest.raises(ObservationSpaceError, match="no keys"):
        HerReplayBuffer(10, vector, vector, None)


def test_memory_is_known_before_it_is_taken():
    buffer = make_buffer(1000, copy_info_dict=True, make_env=lambda: limited(has_pictures=True))
    arrays = [*buffer.observations.values(), *buffer.next_observations.values(), buffer.actions, buffer.rewards]
    arrays += [buffer.dones, buffer.timeouts, buffer.ep_start, buffer.ep_length, buffer.infos]
    each = bytes_per_transition(buffer.observation_space, buffer.action_space, copy_info_dict=True)
    assert sum(array.nbytes for array in arrays) == 1000 * each
    with pytest.raises(BufferSizeError, match=rf"{10**15 * 112} bytes .*, 112 for each transition, .* at most buffer_size="):
        make_buffer(10**15)
    assert issubclass(BufferSizeError, MimicError)


def test_a_reward_that_is_missing_is_named():
    class Without(PointMass):
        def __init__(self):
            super().__init__()
            del self.compute_reward

    buffer = make_buffer(make_env=Without)
    fill(buffer)
    with pytest.raises(UnsuitableEnvError, match=r"compute_reward\(achieved_goal, desired_goal, info\)"):
        buffer.sample(8)


def test_a_reward_of_one_step_alone_serves_too():
    class OneByOne(PointMass):
        def __init__(self):
            super().__init__(lambda achieved, desired, info: float(np.abs(achieved - desired).max() < 0.1) - 1.0)

    buffer = make_buffer(make_env=OneByOne)
    fill(buffer)
    other = make_buffer(make_env=lambda: PointMass(Sparse()))
    fill(other)
    found = []
    for each in (buffer, other):
        np.random.seed(0)
        found.append(each.sample(64).rewards.numpy())
    np.testing.assert_array_equal(*found)
