"""Laws of the walking humanoid, beside those of every id."""

from pathlib import Path

import numpy as np
import pybullet_data
import pytest
from stable_baselines3 import PPO

from sb3_mimic import keys
from sb3_mimic.envs.models.mjcf import to_urdf
from sb3_mimic.envs.registration import WALK_ID
from sb3_mimic.envs.tasks.walk import DEFAULT_REWARD, FALLEN_HEIGHT, STANDING_HEIGHT, WALK_TERMS
from sb3_mimic.envs.walk_env import WalkEnv
from sb3_mimic.envs.world.walker import JOINTS, MODEL

N_JOINTS = len(JOINTS)


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


def test_costs_are_what_their_names_say(make_env):
    env = make_env(WALK_ID)
    env.reset(seed=0)
    action = np.linspace(-1, 1, N_JOINTS).astype(np.float32)
    info = env.step(action)[-1]
    assert info["reward_alive"] > 0
    assert info["reward_stall_torque"] == pytest.approx(DEFAULT_REWARD["stall_torque"] * np.square(action).mean())
    power = np.abs(action * env.unwrapped.walker.qvel).mean()
    assert info["reward_electricity"] == pytest.approx(DEFAULT_REWARD["electricity"] * power)


def test_rewards_can_be_mixed_anew():
    env = WalkEnv(reward_weights={"alive": 2.0})
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.zeros(N_JOINTS, np.float32))
    assert reward == info["reward_alive"] == pytest.approx(2, abs=0.2)
    env.close()
    with pytest.raises(ValueError, match="Did you mean 'progress'"):
        WalkEnv(reward_weights={"progres": 1.0})
    with pytest.raises(ValueError, match="finite number"):
        WalkEnv(reward_weights={"progress": float("nan")})
    with pytest.raises(ValueError, match="at least one term"):
        WalkEnv(reward_weights={})
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
    env = WalkEnv()
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
    env = WalkEnv()
    assert list(JOINTS)[:3] == ["abdomen_z", "abdomen_y", "abdomen_x"]
    assert env.action_space.shape == (17,)
    # As PyBullet's own loader makes it
    text = to_urdf(Path(pybullet_data.getDataPath()) / MODEL, (), {})
    masses = [float(part.split('"')[0]) for part in text.split('<mass value="')[1:]]
    assert sum(masses) == pytest.approx(42.116, abs=0.001)
    assert text.count("<joint ") == 17
    assert text.count("<link ") == 18
    env.close()


def test_the_picture_has_sky_above_and_squares_below(make_env):
    env = make_env(WALK_ID, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert np.ptp(picture[:60], axis=1).max() <= 1
    assert np.ptp(picture[-60:], axis=1).min() > 10
