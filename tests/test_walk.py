"""Laws of the walking humanoid."""

import pickle
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import psutil
import pybullet_data
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from sb3_mimic import keys
from sb3_mimic.envs.models.mjcf import to_urdf
from sb3_mimic.envs.registration import WALK_ID
from sb3_mimic.envs.walk_env import DEFAULT_REWARD, FALLEN_HEIGHT, STANDING_HEIGHT, WALK_TERMS, humanoid_walk
from sb3_mimic.envs.world.walker import JOINTS, MODEL

N_STEPS = 60
N_JOINTS = len(JOINTS)


def random_actions(n: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).uniform(-1, 1, (n, N_JOINTS))).astype(np.float32)


def episode(env: gym.Env, seed: int = 3, n_steps: int = N_STEPS) -> np.ndarray:
    """Everything that random actions show, on the feet and after falls, flattened"""
    observation, _ = env.reset(seed=seed)
    history = [observation[keys.OBSERVATION]]
    for action in random_actions(n_steps, seed):
        observation, reward, *_ = env.unwrapped.step(action)
        history.append([*observation[keys.OBSERVATION], reward])
    return np.concatenate(history)


def test_checkers_have_nothing_to_say(make_env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sb3_check_env(make_env(WALK_ID).unwrapped)
        gymnasium_check_env(make_env(WALK_ID).unwrapped, skip_render_check=True)


def test_nothing_explodes_and_all_is_seen_in_a_finite_space(make_env):
    env = make_env(WALK_ID)
    space = env.observation_space
    assert np.isfinite(space[keys.OBSERVATION].high).all()
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(100):
        # Noise, and long pushes in one direction
        repeats = int(rng.integers(1, 20))
        action = rng.uniform(-1, 1, N_JOINTS).astype(np.float32)
        for _ in range(repeats):
            observation, _, terminated, _, _ = env.step(action if repeats % 2 else np.sign(action))
            assert space.contains(observation)
            assert np.abs(env.unwrapped.walker.velocity).max() < 10
            assert np.abs(env.unwrapped.walker.qvel).max() < 100
            if terminated:
                env.reset()


def test_same_seed_same_episode(make_env):
    env = make_env(WALK_ID)
    first = episode(env)
    np.testing.assert_array_equal(first, episode(env))
    episode(env, seed=4, n_steps=300)
    np.testing.assert_array_equal(first, episode(env))
    for _ in range(5):
        np.testing.assert_array_equal(first, episode(make_env(WALK_ID)))
    assert not np.array_equal(first, episode(env, seed=4))


def test_same_seed_same_episode_in_other_processes(run_python):
    code = (
        "import hashlib, sys; sys.path.insert(0, 'tests'); import gymnasium as gym, sb3_mimic;"
        f"from test_walk import episode; print('digest', hashlib.sha256(episode(gym.make('{WALK_ID}')).tobytes()).hexdigest())"
    )
    digests = {run_python("-c", code, env={"PYTHONHASHSEED": seed}).split("digest ")[1].strip() for seed in ("1", "2")}
    assert len(digests) == 1


def test_restored_state_goes_on_alike(make_env):
    env = make_env(WALK_ID).unwrapped
    env.reset(seed=0)
    actions = random_actions(20, scale=0.3)
    for action in actions:
        env.step(action)
    futures, phase = [], env._phase
    for _ in range(2):
        with env.simulation.preserved():
            env.walker.refresh()
            env._phase = phase
            futures.append([env.step(action)[0][keys.OBSERVATION] for action in actions])
    np.testing.assert_array_equal(*futures)


def test_pickled_environment_goes_on_alike(make_env):
    env = make_env(WALK_ID).unwrapped
    env.reset(seed=0)
    actions = random_actions(30, scale=0.3)
    for action in actions:
        env.step(action)
    copy = pickle.loads(pickle.dumps(env))
    for action in actions:
        observation, reward, terminated, _, info = env.step(action)
        other = copy.step(action)
        np.testing.assert_array_equal(other[0][keys.OBSERVATION], observation[keys.OBSERVATION])
        assert other[1:3] == (reward, terminated)
        assert other[4] == info
    np.testing.assert_array_equal(copy.reset()[0][keys.OBSERVATION], env.reset()[0][keys.OBSERVATION])
    copy.close()


def test_bad_actions_are_refused_and_the_episode_goes_on(make_env):
    env, other = make_env(WALK_ID), make_env(WALK_ID)
    env.reset(seed=0)
    other.reset(seed=0)
    good = np.zeros(N_JOINTS, np.float32)
    for bad in (np.full_like(good, np.nan), np.full_like(good, np.inf), np.append(good, 0), good[0]):
        with pytest.raises(ValueError, match="17 finite numbers"):
            env.unwrapped.step(bad)
    np.testing.assert_array_equal(env.step(good)[0][keys.OBSERVATION], other.step(good)[0][keys.OBSERVATION])
    clipped, most = env.step(good + 5)[0][keys.OBSERVATION], other.step(good + 1)[0][keys.OBSERVATION]
    np.testing.assert_array_equal(clipped, most, "actions are clipped")


def test_reward_is_the_sum_of_its_named_terms(make_env):
    env = make_env(WALK_ID)
    env.reset(seed=0)
    for action in random_actions(10):
        _, reward, _, _, info = env.step(action)
        assert {name for name in info if name.startswith("reward_")} == {f"reward_{name}" for name in DEFAULT_REWARD}
        assert reward == pytest.approx(sum(info[f"reward_{name}"] for name in DEFAULT_REWARD))
        assert info["reward_alive"] > 0 > info["reward_electricity"]
        assert info["reward_stall_torque"] == pytest.approx(DEFAULT_REWARD["stall_torque"] * np.square(action).mean())


def test_rewards_can_be_mixed_anew():
    env = humanoid_walk(reward_weights={"alive": 2.0})
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.zeros(N_JOINTS, np.float32))
    assert reward == info["reward_alive"] == pytest.approx(2, abs=0.2)
    env.close()
    with pytest.raises(ValueError, match="Did you mean 'progress'"):
        humanoid_walk(reward_weights={"progres": 1.0})
    with pytest.raises(ValueError, match="finite number"):
        humanoid_walk(reward_weights={"progress": float("nan")})
    with pytest.raises(ValueError, match="at least one term"):
        humanoid_walk(reward_weights={})
    assert set(DEFAULT_REWARD) == set(WALK_TERMS)


def test_a_fall_ends_the_episode_and_standing_does_not(make_env):
    env = make_env(WALK_ID)
    env.reset(seed=0)
    heights, is_over, rng = [], False, np.random.default_rng(0)
    while not is_over:
        _, _, is_over, is_truncated, _ = env.step(rng.uniform(-1, 1, N_JOINTS).astype(np.float32))
        heights.append(env.unwrapped.walker.position[2])
    assert not is_truncated
    assert heights[0] == pytest.approx(STANDING_HEIGHT, abs=0.05)
    assert 10 < len(heights) < 200
    roll, pitch, _ = env.unwrapped.walker.tilt
    assert heights[-1] < FALLEN_HEIGHT or max(abs(roll), abs(pitch)) > 1


def test_the_time_limit_is_a_truncation(make_env):
    env = make_env(WALK_ID)
    env.reset(seed=0)
    walker = env.unwrapped.walker
    for n_done in range(1, 1001):
        walker.place((0.1 * n_done, 0, STANDING_HEIGHT), (0, 0, 0, 1), [0.0] * N_JOINTS)
        _, _, is_over, is_truncated, info = env.step(np.zeros(N_JOINTS, np.float32))
        assert not is_over
        assert is_truncated == (n_done == 1000)
    assert info["distance"] == pytest.approx(100, abs=0.1)


def test_going_ahead_pays_and_going_back_costs(make_env):
    env = make_env(WALK_ID).unwrapped
    for speed in (1.0, -1.0):
        env.reset(seed=0)
        env.walker.place((0, 0, STANDING_HEIGHT), (0, 0, 0, 1), [0.0] * N_JOINTS, velocity=(speed, 0, 0))
        _, _, _, _, info = env.step(np.zeros(N_JOINTS, np.float32))
        assert info["distance"] * speed > 0
        assert info["reward_progress"] * speed > 0.05


def test_evaluation_measures_the_way(make_env):
    from sb3_mimic.agents.evaluation import evaluate
    from sb3_mimic.agents.loading import Agent

    agent = Agent(PPO("MultiInputPolicy", make_env(WALK_ID), device="cpu"))
    measures = evaluate(agent, WALK_ID, 3, show_progress=False)
    assert measures["env"] == WALK_ID
    assert 1 < measures["upright_steps"]["value"] <= 1000
    low, high = measures["distance_m"]["interval"]
    assert low <= measures["distance_m"]["value"] <= high
    assert measures["return"]["n"] == 3


def test_the_body_faces_its_own_way(make_env):
    """What is observed does not depend on where on the floor the body is, and its speed is seen from where it faces"""
    env = make_env(WALK_ID).unwrapped
    env.reset(seed=0)
    quarter = np.sqrt(0.5)
    env.walker.place((3, -2, STANDING_HEIGHT), (0, 0, quarter, quarter), [0.0] * N_JOINTS, velocity=(0, 1, 0))
    seen = env._observe(env.walker.scaled_qpos())[keys.OBSERVATION]
    np.testing.assert_allclose(seen[:8], [0, 0, 1, 0, 0, 1, 0, 0], atol=1e-6)


def test_passive_motion_gains_no_speed():
    """Without torque, gravity and floor, motion dies down"""
    env = humanoid_walk()
    for seed in range(5):
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        qvel = rng.uniform(-3, 3, N_JOINTS).tolist()
        env.walker.place((0, 0, 100), (0, 0, 0, 1), [0.0] * N_JOINTS, qvel)
        fastest = []
        for _ in range(150):
            env.walker.drive([0.0] * N_JOINTS, 2)
            fastest.append(np.abs(env.walker.qvel).max())
        assert max(fastest) < 20
        assert max(fastest[-30:]) < 1
    env.close()


def test_the_model_keeps_its_mass_and_ranges():
    env = humanoid_walk()
    assert list(JOINTS)[:3] == ["abdomen_z", "abdomen_y", "abdomen_x"]
    assert env.action_space.shape == (17,)
    # As PyBullet's own loader makes it
    text = to_urdf(Path(pybullet_data.getDataPath()) / MODEL, (), {})
    masses = [float(part.split('"')[0]) for part in text.split('<mass value="')[1:]]
    assert sum(masses) == pytest.approx(42.116, abs=0.001)
    assert text.count("<joint ") == 17
    assert text.count("<link ") == 18
    env.close()


def test_environments_free_their_memory():
    process = psutil.Process()

    def use(n: int) -> int:
        for _ in range(n):
            env = gym.make(WALK_ID)
            env.reset(seed=0)
            env.step(np.zeros(N_JOINTS, np.float32))
            env.close()
        return process.memory_info().rss

    before = use(20)
    assert use(60) - before < 5 * 2**20


def test_a_closed_environment_drives_nobody_elses_world(make_env):
    env = gym.make(WALK_ID).unwrapped
    env.reset(seed=0)
    env.close()
    env.close()
    make_env(WALK_ID).reset(seed=0)
    with pytest.raises(RuntimeError, match="closed"):
        env.step(np.zeros(N_JOINTS, np.float32))
    with pytest.raises(RuntimeError, match="closed"):
        env.reset()


def test_rendering_changes_nothing_and_shows_the_walker(make_env):
    env, plain = make_env(WALK_ID, render_mode="rgb_array"), make_env(WALK_ID)
    env.reset(seed=0)
    plain.reset(seed=0)
    pictures = []
    for action in random_actions(8, scale=0.5):
        observation, expected = env.step(action)[0], plain.step(action)[0]
        np.testing.assert_array_equal(observation[keys.OBSERVATION], expected[keys.OBSERVATION])
        pictures.append(env.render())
    assert pictures[0].shape == (480, 480, 3)
    assert pictures[0].dtype == np.uint8
    assert not np.array_equal(pictures[0], pictures[-1])
    # Sky above, squares below
    assert len(np.unique(pictures[0][:60].reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(pictures[0][-60:].reshape(-1, 3), axis=0)) > 1


def test_human_mode_without_display_warns_once(monkeypatch, make_env):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.warns(UserWarning, match="There is no display"):
        env = make_env(WALK_ID, render_mode="human")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.render() is None


def test_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="Known modes: human, rgb_array"):
        humanoid_walk(render_mode="ansi")
