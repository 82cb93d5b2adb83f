"""Laws that every id of a robot that takes poses obeys."""

import pickle
import warnings

import gymnasium as gym
import numpy as np
import psutil
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_mimic import keys
from sb3_mimic.envs.registration import POSE_IDS

N_STEPS = 40
IMAGE_IDS = [env_id for env_id in POSE_IDS if "State" not in env_id and "Sparse" not in env_id]


def episode(env: gym.Env, seed: int = 3, n_steps: int = N_STEPS) -> list[np.ndarray]:
    """Everything that an episode with random actions shows, flattened"""
    observation, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    history = [np.concatenate([observation[key].ravel() for key in sorted(observation)])]
    for _ in range(n_steps):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        history.append(np.concatenate([observation[key].ravel() for key in sorted(observation)] + [[reward]]))
    return history


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_checkers_have_nothing_to_say(env_id, make_env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sb3_check_env(make_env(env_id).unwrapped)
        gymnasium_check_env(make_env(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_observations_lie_in_their_finite_space(env_id, make_env):
    env = make_env(env_id)
    for space in env.observation_space.spaces.values():
        assert np.isfinite(space.low).all()
        assert np.isfinite(space.high).all()
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    for _ in range(12):
        # Long pushes in one direction drive the joints into their limits
        action = np.sign(rng.standard_normal(env.action_space.shape)).astype(np.float32)
        for _ in range(25):
            assert env.observation_space.contains(observation)
            observation = env.unwrapped.step(action)[0]


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_same_seed_same_episode(env_id, make_env):
    env = make_env(env_id)
    first = episode(env)
    assert_same(first, episode(env))
    episode(env, seed=4)
    assert_same(first, episode(env))
    for _ in range(10):
        assert_same(first, episode(make_env(env_id)))
    assert not np.array_equal(first[0], episode(env, seed=4)[0])


def test_same_seed_same_episode_in_other_processes(run_python):
    code = """
import hashlib, sys; sys.path.insert(0, "tests")
import gymnasium as gym, numpy as np
from test_envs import POSE_IDS, episode
for env_id in POSE_IDS:
    history = np.concatenate(episode(gym.make(env_id)))
    print("digest", env_id, hashlib.sha256(history.tobytes()).hexdigest())
"""
    one, other = (
        [line for line in run_python("-c", code, env={"PYTHONHASHSEED": seed}).splitlines() if "digest" in line]
        for seed in ("1", "2")
    )
    assert len(one) == len(POSE_IDS)
    assert one == other


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_restored_state_goes_on_alike(env_id, make_env):
    env = make_env(env_id)
    env.reset(seed=0)
    robot, simulation = env.unwrapped.robot, env.unwrapped.simulation
    actions = np.random.default_rng(0).uniform(-1, 1, (20, *env.action_space.shape)).astype(np.float32)
    for action in actions:
        env.step(action)
    futures = []
    for _ in range(2):
        with simulation.preserved():
            robot.release_motors()
            future = []
            for action in actions:
                env.step(action)
                future.append(np.concatenate((robot.qpos, robot.qvel, robot.keypoints.ravel())))
            futures.append(future)
        robot.refresh()
    assert_same(*futures)


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_pickled_environment_goes_on_alike(env_id, make_env):
    env = make_env(env_id)
    env.reset(seed=0)
    env.step(np.ones(env.action_space.shape, np.float32))
    copy = pickle.loads(pickle.dumps(env.unwrapped))
    action = np.full(env.action_space.shape, 0.3, np.float32)
    for _ in range(5):
        ours, theirs = env.unwrapped.step(action), copy.step(action)
        for key in ours[0]:
            np.testing.assert_array_equal(ours[0][key], theirs[0][key])
        assert ours[1] == theirs[1]
    assert_same(episode(env.unwrapped), episode(copy))
    copy.close()


def test_subprocesses_see_the_same():
    # As rl-zoo3 does it: a worker knows no ids, but the specification holds the entry point as text
    spec = gym.spec("MimicReacher3D-v0")
    subproc = make_vec_env(spec.make, 2, seed=0, vec_env_cls=SubprocVecEnv)
    dummy = make_vec_env(spec.make, 2, seed=0)
    action = np.stack([dummy.action_space.sample() for _ in range(2)])
    try:
        for ours, theirs in ((subproc.reset(), dummy.reset()), (subproc.step(action)[0], dummy.step(action)[0])):
            for key in ours:
                np.testing.assert_array_equal(ours[key], theirs[key])
    finally:
        subproc.close()
        dummy.close()


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_goals_are_photographs_of_states(env_id, make_env):
    env = make_env(env_id)
    observation, _ = env.reset(seed=5)
    robot, layout = env.unwrapped.robot, env.unwrapped.pose_layout
    goal = env.unwrapped.desired_goal
    if keys.DESIRED_GOAL in observation:
        np.testing.assert_array_equal(goal, observation[keys.DESIRED_GOAL])
    robot.reset(layout.joints(goal))
    np.testing.assert_allclose(env.unwrapped.goal.measure(), goal, atol=1e-6)
    if keys.IMAGE in observation:
        np.testing.assert_array_equal(env.unwrapped.camera.render(env.unwrapped.simulation), observation[keys.DESIRED_IMAGE])


@pytest.mark.parametrize("env_id", POSE_IDS)
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


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_asking_for_a_pose(env_id, make_env):
    env = make_env(env_id)
    first, _ = env.reset(seed=1)
    goal = env.unwrapped.desired_goal
    again, _ = env.reset(seed=2, options={"desired_goal": goal})
    start = env.unwrapped.achieved_goal
    np.testing.assert_allclose(env.unwrapped.desired_goal, goal, atol=1e-6)
    if keys.DESIRED_IMAGE in first:
        np.testing.assert_array_equal(again[keys.DESIRED_IMAGE], first[keys.DESIRED_IMAGE])
        picture = np.full_like(first[keys.DESIRED_IMAGE], 7)
        options = {"desired_goal": goal, "desired_image": picture}
        shown, _ = env.reset(seed=2, options=options)
        np.testing.assert_array_equal(shown[keys.DESIRED_IMAGE], picture)
    # The start does not depend on what is asked for
    env.reset(seed=2)
    np.testing.assert_array_equal(env.unwrapped.achieved_goal, start)
    goal[0] = 1.3
    env.reset(options={"desired_goal": goal})
    assert env.unwrapped.desired_goal[0] == pytest.approx(1), "angles beyond their limits are clipped"


@pytest.mark.parametrize("env_id", POSE_IDS)
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


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_bad_goals_are_refused(env_id, make_env):
    env = make_env(env_id)
    env.reset(seed=0)
    goal = env.unwrapped.desired_goal
    for bad in (goal[:-1], np.full_like(goal, np.nan), goal[None]):
        with pytest.raises(ValueError, match=f"{len(goal)} finite numbers"):
            env.reset(options={"desired_goal": bad})
    with pytest.raises(ValueError, match="Known options"):
        env.reset(options={"desired": goal})
    env.reset(seed=0)


@pytest.mark.parametrize("env_id", IMAGE_IDS)
def test_bad_goal_pictures_are_refused(env_id, make_env):
    env = make_env(env_id)
    image = env.reset(seed=0)[0][keys.DESIRED_IMAGE]
    for bad in (image[:-1], image.astype(np.float32), image[..., 0]):
        with pytest.raises(ValueError, match="uint8"):
            env.reset(options={"desired_image": bad})


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_bad_actions_are_refused_and_the_episode_goes_on(env_id, make_env):
    env, other = make_env(env_id), make_env(env_id)
    env.reset(seed=0)
    other.reset(seed=0)
    good = np.zeros(env.action_space.shape, np.float32)
    for bad in (np.full_like(good, np.nan), np.full_like(good, np.inf), np.append(good, 0), good[0]):
        with pytest.raises(ValueError, match="finite numbers"):
            env.unwrapped.step(bad)
    for action, clipped in ((good, good), (good + 5, good + 1)):
        env.step(action)
        other.step(clipped)
        np.testing.assert_array_equal(env.unwrapped.achieved_goal, other.unwrapped.achieved_goal)


@pytest.mark.parametrize("env_id", POSE_IDS)
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


@pytest.mark.parametrize("env_id", POSE_IDS)
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


def test_environments_free_their_memory():
    process = psutil.Process()
    for env_id in ("MimicReacher3D-v0", "MimicReacherPlane-v0"):
        for _ in range(20):
            env = gym.make(env_id)
            env.reset(seed=0)
            env.close()
        before = process.memory_info().rss
        for _ in range(150):
            env = gym.make(env_id)
            env.reset(seed=0)
            env.close()
        assert process.memory_info().rss - before < 5 * 2**20


def test_a_closed_environment_drives_nobody_elses_world(make_env):
    env = gym.make("MimicReacher3D-v0").unwrapped
    env.reset(seed=0)
    env.close()
    env.close()
    make_env("MimicReacher3D-v0").reset(seed=0)
    with pytest.raises(RuntimeError, match="closed"):
        env.step(np.zeros(3, np.float32))
    with pytest.raises(RuntimeError, match="closed"):
        env.reset()


@pytest.mark.parametrize("env_id", POSE_IDS)
def test_rendering_changes_nothing_and_shows_the_robot(env_id, make_env):
    env, plain = make_env(env_id, render_mode="rgb_array"), make_env(env_id)
    env.reset(seed=0)
    plain.reset(seed=0)
    action = np.full(env.action_space.shape, 0.4, np.float32)
    pictures = []
    for _ in range(5):
        observation = env.step(action)[0]
        expected = plain.step(action)[0]
        for key in observation:
            np.testing.assert_array_equal(observation[key], expected[key])
        pictures.append(env.render())
    assert pictures[0].shape == (480, 480, 3)
    assert pictures[0].dtype == np.uint8
    assert not np.array_equal(pictures[0], pictures[-1])
    # A new target, a new ghost: the picture differs though the robot stands still
    plain.reset(seed=8)
    env.unwrapped.ask_for(plain.unwrapped.desired_goal)
    assert not np.array_equal(env.render(), pictures[-1])


def test_human_mode_without_display_warns_once(monkeypatch, make_env):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.warns(UserWarning, match="There is no display"):
        env = make_env("MimicReacherPlane-v0", render_mode="human")
    # From here on a warning would be an error
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
        assert env.render() is None


def test_unknown_render_mode_is_refused():
    from sb3_mimic.envs.bodies.reacher import REACHER_PLANE
    from sb3_mimic.envs.make import pose_env

    with pytest.raises(ValueError, match="Known modes: human, rgb_array"):
        pose_env(REACHER_PLANE, render_mode="ansi")


def test_going_to_the_target_pays_and_going_away_costs(make_env):
    env = make_env("MimicReacherPlaneState-v0").unwrapped
    observation, _ = env.reset(seed=0)
    layout = env.pose_layout
    way = layout.joints(observation[keys.DESIRED_GOAL]) - layout.joints(observation[keys.ACHIEVED_GOAL])
    towards = env.step(np.sign(way))[1]
    env.reset(seed=0)
    assert towards > 0 > env.step(-np.sign(way))[1]


def test_the_viewer_shows_robot_and_target():
    """The window itself needs a display; what is in it does not"""
    from sb3_mimic.envs.sight.camera import Camera
    from sb3_mimic.envs.viewer import Viewer

    env = gym.make("MimicReacher3D-v0").unwrapped
    env.reset(seed=0)
    viewer = Viewer(env.robot.body, env.camera, gui=False)
    camera = Camera(env.camera.eye, env.camera.target, env.camera.up, env.camera.fov, 128, 128)
    target = env.robot.qpos + 0.5
    viewer.show(env.robot.qpos, env.robot.qpos)
    together = camera.render(viewer._simulation)
    viewer.show(env.robot.qpos, target)
    apart = camera.render(viewer._simulation)
    assert (apart < 250).any(axis=-1).sum() > (together < 250).any(axis=-1).sum()
    viewer.close()
    env.close()


@pytest.mark.parametrize("env_id", IMAGE_IDS)
def test_drawn_poses_lie_on_the_robot(env_id, make_env):
    env = make_env(env_id).unwrapped
    picture, pose = env.reset(seed=0)[0][keys.IMAGE], env.achieved_goal
    drawn = env.draw_poses(picture, {"true": pose})
    assert drawn.shape == (320, 320, 3)
    for point in env.camera.project(env.pose_layout.keypoints(pose).astype(float)):
        column, row = (point * 64).astype(int)
        assert (picture[row - 1 : row + 2, column - 1 : column + 2] < 250).any(), "a key point is where the robot is seen"


@pytest.mark.parametrize("env_id", IMAGE_IDS)
def test_every_pose_is_in_the_picture(env_id, make_env):
    env = make_env(env_id).unwrapped
    rng = np.random.default_rng(0)
    for _ in range(500):
        env.goal.randomise(rng)
        fractions = env.camera.project(env.robot.keypoints)
        assert fractions.min() > 0
        assert fractions.max() < 1


@pytest.mark.parametrize("env_id", POSE_IDS)
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
    with pytest.raises(ValueError, match=r"\['picture'\].*Known keys: observation"):
        gym.make("MimicReacher3D-v0", observation_keys=("picture",))
