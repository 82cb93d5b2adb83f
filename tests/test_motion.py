"""Motions, goals that follow them, and videos of them that are spoilt."""

import gymnasium as gym
import numpy as np
import pytest

from sb3_mimic import keys
from sb3_mimic.envs.tasks.motion import NATURAL_SPEED, circling, random_motion, waving
from sb3_mimic.errors import EnvArgumentError, InputError, ObservationSpaceError, PictureError
from sb3_mimic.her import HerReplayBuffer
from sb3_mimic.pictures.spoilt_videos import HIDDEN, VIDEO_CORRUPTIONS, corrupt_video, put_bars
from sb3_mimic.pose import VELOCITY

LOW, HIGH = np.array([-1.0, 0.0, -3.0]), np.array([1.0, 2.5, -1.0])
ENV_ID = "MimicReacherPlaneMoving-v0"


@pytest.mark.parametrize("make", [lambda *limits: random_motion(np.random.default_rng(0), *limits), waving, circling])
def test_motions_stay_within_limits_and_speeds(make):
    motion = make(LOW, HIGH)
    times = np.arange(0, 60, 1 / 240)
    qpos, qvel = motion.qpos(times), motion.qvel(times)
    assert qpos.shape == qvel.shape == (len(times), 3)
    assert (qpos >= LOW - 1e-9).all()
    assert (qpos <= HIGH + 1e-9).all()
    assert np.abs(qvel).max() <= NATURAL_SPEED + 1e-9
    np.testing.assert_allclose(np.gradient(qpos, times, axis=0)[1:-1], qvel[1:-1], atol=1e-2)
    np.testing.assert_array_equal(motion.qpos(1.5), motion.qpos(np.array([1.5]))[0])


def test_random_motions_go_everywhere_and_differ():
    qpos = np.concatenate(
        [random_motion(np.random.default_rng(seed), LOW, HIGH, 3.0).qpos(np.arange(0, 20, 0.1)) for seed in range(20)]
    )
    share = (qpos - LOW) / (HIGH - LOW)
    assert share.min() < 0.1
    assert share.max() > 0.9
    assert share.std(axis=0).min() > 0.15


@pytest.mark.parametrize("speed", [0, -1, np.inf, np.nan])
def test_a_speed_is_positive(speed):
    for make in (waving, circling, lambda *limits: random_motion(np.random.default_rng(0), *limits)):
        with pytest.raises(EnvArgumentError, match="positive number of rad/s"):
            make(LOW, HIGH, speed)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"speed": 0}, "positive"),
        ({"speed": [2, 1]}, "positive"),
        ({"speed": [1, 2, 3]}, "positive"),
        ({"share": 1.5}, "from 0 to 1"),
        ({"shares": 1}, "speed, share"),
        ("fast", "speed, share"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(settings, says):
    with pytest.raises(EnvArgumentError, match=says):
        gym.make(ENV_ID, moving_goal=settings)


def test_goals_move_and_vector_picture_and_speed_agree(make_env):
    env = make_env(ENV_ID, moving_goal={"share": 1.0})
    before, _ = env.reset(seed=0)
    bare = env.unwrapped
    velocity = bare.view_layout[VELOCITY]
    joints = bare.pose_layout["joints"]
    for _ in range(20):
        observation, reward, *_, info = env.step(env.action_space.sample())
        goal = observation[keys.DESIRED_GOAL]
        moved = (joints.of(goal) - joints.of(before[keys.DESIRED_GOAL])) / bare.simulation.dt
        speed = observation[keys.DESIRED_VELOCITY] * np.array(velocity.scale)
        np.testing.assert_allclose(moved, speed, atol=0.05 * bare.moving_goal.fastest)
        np.testing.assert_allclose(velocity.of(info["desired_view"]), speed, rtol=1e-5)
        np.testing.assert_allclose(velocity.of(info["achieved_view"]), bare.robot.qvel, rtol=1e-5)
        np.testing.assert_array_equal(bare.photographs(bare.goal.qpos_of(goal)), observation[keys.DESIRED_IMAGE])
        asked = observation[keys.ACHIEVED_GOAL], goal, info
        assert bare.compute_reward(*asked) == pytest.approx(reward)
        before = observation
    assert (before[keys.DESIRED_IMAGE] != env.reset(seed=0)[0][keys.DESIRED_IMAGE]).any()


def test_a_goal_that_is_asked_for_stays_and_others_stay_as_often_as_said(make_env):
    env = make_env(ENV_ID, moving_goal={"share": 0.5})
    n_moving = 0
    for seed in range(40):
        first, _ = env.reset(seed=seed)
        n_moving += (env.step(env.action_space.sample())[0][keys.DESIRED_GOAL] != first[keys.DESIRED_GOAL]).any()
    assert 10 < n_moving < 30
    for ask in (lambda goal: env.reset(options={"desired_goal": goal})[0], env.unwrapped.ask_for):
        asked = ask(env.unwrapped.desired_goal)
        assert not asked[keys.DESIRED_VELOCITY].any()
        np.testing.assert_array_equal(env.step(env.action_space.sample())[0][keys.DESIRED_GOAL], asked[keys.DESIRED_GOAL])


def test_poses_of_joints_are_what_is_measured_there(make_env):
    for env_id in ("MimicHumanoidState-v0", "MimicReacher6DState-v0", "MimicReachState-v0", "MimicStackState-v0"):
        env = make_env(env_id).unwrapped
        env.reset(seed=0)
        for seed in range(5):
            env.reset(seed=seed)
            qpos = env.goal.qpos_of(env.desired_goal)
            found, now = env.pose_of(qpos), env.robot.qpos.copy()
            np.testing.assert_array_equal(env.robot.qpos, now)
            env.robot.reset(qpos)
            np.testing.assert_allclose(found, env.goal.measure(), atol=1e-6)


def test_hindsight_refuses_goals_that_move(make_env):
    env = make_env(ENV_ID)
    with pytest.raises(ObservationSpaceError, match="desired_velocity"):
        HerReplayBuffer(100, env.observation_space, env.action_space, env=None)


@pytest.fixture
def frames():
    return np.full((30, 40, 48, 3), 255, np.uint8)


def test_bars_hide_their_share_and_move(frames):
    for seed in range(8):
        spoilt = frames.copy()
        put_bars(spoilt, np.random.default_rng(seed), share=HIDDEN)
        is_hidden = (spoilt != 255).any(axis=3)
        assert is_hidden.mean() == pytest.approx(HIDDEN, abs=0.04)
        assert (is_hidden[0] != is_hidden[5]).any()


@pytest.mark.parametrize("kind", VIDEO_CORRUPTIONS)
def test_videos_are_spoilt_alike_with_one_seed_and_stay_as_they_are(kind, frames):
    frames = frames - np.arange(30, dtype=np.uint8)[:, None, None, None]
    before = frames.copy()
    first, again, other = (corrupt_video(frames, kind, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(frames, before)
    assert first.shape == frames.shape
    assert (first != other).any()
    assert (first != frames).any()


def test_dropped_frames_show_the_last_that_came(frames):
    numbered = frames - np.arange(30, dtype=np.uint8)[:, None, None, None]
    shown = 255 - corrupt_video(numbered, "dropped frames", 0)[:, 0, 0, 0].astype(int)
    assert shown[0] == 0
    assert (np.diff(shown) >= 0).all()
    assert ((shown == np.arange(30)) | (np.diff(shown, prepend=0) == 0)).all()


def test_other_things_are_not_spoilt(frames):
    with pytest.raises(InputError, match="moving bars, noise, dropped frames"):
        corrupt_video(frames, "rain", 0)
    with pytest.raises(PictureError, match=r"\(time, height, width, 3\)"):
        corrupt_video(frames[0], "noise", 0)
