"""Laws that every id with goals obeys, beside those of every id; some of them hold for robots that take poses."""

import gymnasium as gym
import numpy as np
import pytest
from rl_zoo3.wrappers import FrameSkip
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_mimic import keys
from sb3_mimic.envs.registration import POSE_IDS, TASK_IDS
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.errors import EnvArgumentError
from sb3_mimic.pose import OBJECT, POINTS

N_STEPS = 20
GOAL_IDS = (*POSE_IDS, *TASK_IDS)
IMAGE_IDS = [env_id for env_id in GOAL_IDS if not any(mode in env_id for mode in ("State", "Sparse", "Dense"))]
# Where the law is one of the body, and the same in all modes
STATE_IDS = [env_id for env_id in POSE_IDS if "State" in env_id]


def points_of(env, pose):
    """Where the points of a pose are, or the things that are asked for, shape (n, 3), in m"""
    (part,) = (part for part in env.pose_layout if part.name in (POINTS, OBJECT))
    return part.of(pose).astype(float)


@pytest.mark.parametrize("env_id", GOAL_IDS)
def test_goals_are_photographs_of_states(env_id, make_env):
    env = make_env(env_id)
    observation, _ = env.reset(seed=5)
    robot, goal = env.unwrapped.robot, env.unwrapped.desired_goal
    if keys.DESIRED_GOAL in observation:
        np.testing.assert_array_equal(goal, observation[keys.DESIRED_GOAL])
    robot.reset(env.unwrapped.goal.qpos_of(goal))
    np.testing.assert_allclose(env.unwrapped.goal.measure(), goal, atol=1e-6)
    if keys.IMAGE in observation:
        how = (env.unwrapped.eye.target_view, env.unwrapped.eye.target_shot.light)
        differs = env.unwrapped.photographer.look(*how) != observation[keys.DESIRED_IMAGE]
        # Where joints follow from a point, they follow from a rounded one: an edge may lie on the other side of a ray
        assert differs.mean() <= (0 if env_id in POSE_IDS else 1e-3)


@pytest.mark.parametrize("env_id", STATE_IDS)
def test_poses_cover_the_whole_range_and_differ(env_id, make_env):
    env = make_env(env_id)
    n_joints = env.unwrapped.pose_layout["joints"].size
    poses = []
    for seed in range(200):
        env.reset(seed=seed)
        poses.append((env.unwrapped.achieved_goal[:n_joints], env.unwrapped.desired_goal[:n_joints]))
    for joints in np.array(poses).swapaxes(0, 1):
        assert (joints.min(axis=0) < -0.9).all()
        assert (joints.max(axis=0) > 0.9).all()
        assert np.abs(joints.mean(axis=0)).max() < 0.2


@pytest.mark.parametrize("env_id", GOAL_IDS)
def test_asking_for_a_pose(env_id, make_env):
    env = make_env(env_id)
    first, _ = env.reset(seed=1)
    goal = env.unwrapped.desired_goal
    again, _ = env.reset(seed=2, options={"desired_goal": goal})
    start = env.unwrapped.achieved_goal
    np.testing.assert_allclose(env.unwrapped.desired_goal, goal, atol=1e-6)
    if keys.DESIRED_IMAGE in first:
        is_same = np.array_equal(again[keys.DESIRED_IMAGE], first[keys.DESIRED_IMAGE])
        assert is_same == (env.unwrapped.camera_ranges is None), "elsewhere another camera takes it"
        picture = np.full_like(first[keys.DESIRED_IMAGE], 7)
        options = {"desired_goal": goal, "desired_image": picture}
        shown, _ = env.reset(seed=2, options=options)
        np.testing.assert_array_equal(shown[keys.DESIRED_IMAGE], picture)
    # The start does not depend on what is asked for
    env.reset(seed=2)
    np.testing.assert_array_equal(env.unwrapped.achieved_goal, start)
    if env_id in POSE_IDS:
        goal[0] = 1.3
        env.reset(options={"desired_goal": goal})
        assert env.unwrapped.desired_goal[0] == pytest.approx(1), "angles beyond their limits are clipped"


@pytest.mark.parametrize("env_id", GOAL_IDS)
def test_asking_in_mid_episode_leaves_the_robot_alone(env_id, make_env):
    env, other = make_env(env_id), make_env(env_id)
    other.reset(seed=9)
    goal = other.unwrapped.desired_goal
    action = np.full(env.action_space.shape, 0.5, np.float32)
    for each in (env, other):
        each.reset(seed=1)
        each.step(action)
    env.unwrapped.ask_for(goal)
    np.testing.assert_allclose(env.unwrapped.desired_goal, goal, atol=1e-6)
    env.step(action)
    other.step(action)
    np.testing.assert_array_equal(env.unwrapped.achieved_goal, other.unwrapped.achieved_goal)


@pytest.mark.parametrize("env_id", GOAL_IDS)
def test_bad_goals_are_refused(env_id, make_env):
    env = make_env(env_id)
    env.reset(seed=0)
    goal = env.unwrapped.desired_goal
    for bad in (goal[:-1], np.full_like(goal, np.nan), goal[None]):
        with pytest.raises(EnvArgumentError, match=f"{len(goal)} finite numbers"):
            env.reset(options={"desired_goal": bad})
    with pytest.raises(EnvArgumentError, match="Known options"):
        env.reset(options={"desired": goal})
    env.reset(seed=0)


@pytest.mark.parametrize("env_id", IMAGE_IDS)
def test_bad_goal_pictures_are_refused(env_id, make_env):
    env = make_env(env_id)
    image = env.reset(seed=0)[0][keys.DESIRED_IMAGE]
    for bad in (image[:-1], image.astype(np.float32), image[..., 0]):
        with pytest.raises(EnvArgumentError, match="uint8"):
            env.reset(options={"desired_image": bad})


@pytest.mark.parametrize("env_id", GOAL_IDS)
def test_reward_of_one_step_is_the_reward_of_a_batch(env_id, make_env):
    env = make_env(env_id)
    env.reset(seed=0)
    achieved, desired, infos, rewards = [], [], [], []
    rng = np.random.default_rng(0)
    for _ in range(N_STEPS):
        _, reward, _, _, info = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        achieved.append(env.unwrapped.achieved_goal)
        desired.append(env.unwrapped.desired_goal)
        infos.append(info)
        rewards.append(reward)
        assert reward == pytest.approx(sum(info[f"reward_{name}"] for name in env.unwrapped.reward.weights))
    assert hasattr(env.unwrapped, "compute_reward") == (set(keys.STATE_KEYS) <= set(env.observation_space.spaces))
    single = [env.unwrapped.reward(*step) for step in zip(achieved, desired, infos, strict=True)]
    batch = env.unwrapped.reward(np.array(achieved), np.array(desired), infos)
    np.testing.assert_allclose(batch, single, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(batch, rewards)


@pytest.mark.parametrize("env_id", STATE_IDS)
def test_passive_motion_gains_no_speed(env_id, make_env):
    """Without torque and gravity, kinetic energy can only be lost: no joint gets faster than the fastest was"""
    env = make_env(env_id)
    for seed in range(5):
        env.reset(seed=seed)
        robot, simulation = env.unwrapped.robot, env.unwrapped.simulation
        weightless = type(simulation)(gravity=0.0)
        passive = type(robot)(weightless, robot.body)
        rng = np.random.default_rng(seed)
        passive.reset(robot.qpos, rng.uniform(-3, 3, robot.n_joints))
        tip_speeds = []
        for _ in range(300):
            before = passive.keypoints
            weightless.step()
            passive.refresh()
            tip_speeds.append(np.linalg.norm(passive.keypoints - before, axis=1).max() / weightless.dt)
        weightless.close()
        assert max(tip_speeds[-50:]) <= max(tip_speeds[:50])
        assert np.abs(passive.qvel).max() < 3


@pytest.mark.parametrize("env_id", GOAL_IDS)
def test_goals_that_are_not_observed_are_told_of_the_same_moment(env_id, make_env):
    env = make_env(env_id)
    told = {keys.ACHIEVED_GOAL, keys.DESIRED_GOAL} - set(env.observation_space.spaces)

    def check(info):
        assert {keys.ACHIEVED_GOAL, keys.DESIRED_GOAL} & set(info) == told
        for key in told:
            np.testing.assert_array_equal(info[key], getattr(env.unwrapped, key))
            # Whoever changes it changes only that one
            info[key] += 1
            assert not np.array_equal(info[key], getattr(env.unwrapped, key))

    check(env.reset(seed=0)[1])
    other = env.unwrapped.desired_goal * 0.5
    env.unwrapped.ask_for(other)
    for action in np.random.default_rng(0).uniform(-1, 1, (3, *env.action_space.shape)):
        check(env.step(action)[-1])
    skipping = FrameSkip(env, skip=4)
    check(skipping.step(action)[-1])


def test_vectorised_environments_tell_goals_of_the_same_moment():
    venv = DummyVecEnv([lambda: gym.make("MimicReacherPlanePixels-v0", max_episode_steps=2)])
    venv.seed(0)
    venv.reset()
    env = venv.envs[0].unwrapped
    np.testing.assert_array_equal(venv.reset_infos[0][keys.DESIRED_GOAL], env.desired_goal)
    action = np.ones((1, 2), np.float32)
    _, _, _, infos = venv.step(action)
    np.testing.assert_array_equal(infos[0][keys.ACHIEVED_GOAL], env.achieved_goal)
    _, _, dones, infos = venv.step(action)
    assert dones[0]
    # The last pose of one episode, and the first of the next
    assert not np.array_equal(infos[0][keys.ACHIEVED_GOAL], env.achieved_goal)
    np.testing.assert_array_equal(venv.reset_infos[0][keys.ACHIEVED_GOAL], env.achieved_goal)
    venv.close()


def test_going_to_the_target_pays_and_going_away_costs(make_env):
    env = make_env("MimicReacherPlaneState-v0").unwrapped
    observation, _ = env.reset(seed=0)
    layout = env.pose_layout
    way = layout.joints(observation[keys.DESIRED_GOAL]) - layout.joints(observation[keys.ACHIEVED_GOAL])
    towards = env.step(np.sign(way))[1]
    env.reset(seed=0)
    assert towards > 0 > env.step(-np.sign(way))[1]


@pytest.mark.parametrize("env_id", IMAGE_IDS)
def test_drawn_poses_lie_on_the_robot(env_id, make_env):
    env = make_env(env_id).unwrapped
    picture = env.reset(seed=0)[0][keys.IMAGE]
    pose = env.achieved_goal if env.view_layout is None else env.achieved_view
    drawn = env.draw_poses(picture, {"true": pose})
    assert drawn.shape == (320, 320, 3)
    for point in Camera.of(env.eye.own_view).project(points_of(env, pose)):
        column, row = (point * 64).astype(int)
        assert (picture[row - 1 : row + 2, column - 1 : column + 2] < 250).any(), "a key point is where the robot is seen"


@pytest.mark.parametrize("env_id", IMAGE_IDS)
def test_every_pose_is_in_the_picture(env_id, make_env):
    env = make_env(env_id).unwrapped
    rng = np.random.default_rng(0)
    for _ in range(500):
        env.goal.randomise(rng)
        fractions = env.camera.project(points_of(env, env.goal.measure()))
        assert fractions.min() > 0
        assert fractions.max() < 1


@pytest.mark.parametrize("env_id", GOAL_IDS)
def test_the_goal_vector_is_only_where_it_belongs(env_id, make_env):
    env = make_env(env_id)
    observation, _ = env.reset(seed=0)
    if "Pixels" in env_id:
        assert set(observation) == set(keys.IMAGE_KEYS)
    if "Fused" in env_id:
        assert set(observation) == {keys.OBSERVATION, keys.ACHIEVED_GOAL, *keys.IMAGE_KEYS}
        # Another target changes its picture, and nothing else that is seen
        goal = env.unwrapped.desired_goal
        goal[0] = -goal[0]
        other = env.unwrapped.ask_for(goal)
        for key, value in other.items():
            assert np.array_equal(value, observation[key]) == (key != keys.DESIRED_IMAGE), key


def test_pixel_rewards_compare_the_pictures_with_or_without_showing_them():
    weights = {"pixel_error": -1.0, "pixel_progress": 1.0}
    rewards = []
    for observation_keys in (keys.STATE_KEYS, keys.STATE_KEYS + keys.IMAGE_KEYS):
        env = gym.make("MimicReacher3D-v0", observation_keys=observation_keys, reward_weights=weights).unwrapped
        before, _ = env.reset(seed=0)
        after, reward, _, _, info = env.step(np.ones(3))
        rewards.append(reward)
    errors = [
        np.square(observation[keys.IMAGE] / 255.0 - observation[keys.DESIRED_IMAGE] / 255.0).mean()
        for observation in (before, after)
    ]
    assert info["reward_pixel_error"] == pytest.approx(-errors[1], rel=1e-4)
    assert info["reward_pixel_progress"] == pytest.approx(errors[0] - errors[1], rel=1e-3)
    assert rewards[0] == rewards[1]
    # Where the robot is its target, the pictures are the same
    env.reset(options={"desired_goal": env.achieved_goal})
    env.ask_for(env.achieved_goal)
    assert env._pixel_error == 0
    env.close()


def test_unknown_observation_keys_are_refused():
    with pytest.raises(EnvArgumentError, match=r"\['picture'\].*Known keys: observation"):
        gym.make("MimicReacher3D-v0", observation_keys=("picture",))
