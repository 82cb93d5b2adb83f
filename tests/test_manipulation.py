"""An arm that reaches, pushes, picks, slides and stacks."""

import copy
import itertools
import math
import pickle

import gymnasium as gym
import numpy as np
import pybullet as p
import pytest

from sb3_mimic.cli.common import describe
from sb3_mimic.envs.bodies.panda import FINGERS, PANDA, PANDA_MESH
from sb3_mimic.envs.manipulation import manipulation_env
from sb3_mimic.envs.models.kinematics import Kinematics
from sb3_mimic.envs.registration import TASK_IDS, register_task
from sb3_mimic.envs.tasks.manipulation import CUBE, ManipulationTask
from sb3_mimic.envs.world.blocks import Block
from sb3_mimic.envs.world.reaching import DownwardArm
from sb3_mimic.errors import BodyError, EnvArgumentError
from sb3_mimic.pose import JOINTS, SUCCESS_DISTANCE

ARM = DownwardArm()
PLAIN_IDS = [env_id for env_id in TASK_IDS if not env_id.endswith(("State-v0", "Dense-v0"))]
STATE_IDS = [env_id for env_id in TASK_IDS if env_id.endswith("State-v0")]


def demonstrated(env: gym.Env, seed: int) -> tuple[bool, np.ndarray, np.ndarray]:
    """Whether a demonstration ends in success, and the goal that was achieved and the one that was asked for"""
    observation, info = env.reset(seed=seed)
    is_over = False
    while not is_over:
        observation, _, _, is_over, info = env.step(env.unwrapped.demonstrate())
    return info["is_success"], observation["achieved_goal"], observation["desired_goal"]


@pytest.mark.parametrize("body", [PANDA, PANDA_MESH], ids=["primitives", "mesh"])
def test_the_hand_is_where_it_was_to_be(body):
    """The arm's joints follow in closed form: to a hundredth of a millimetre, the hand straight down, the fingers along y"""
    kinematics = Kinematics(body.read_model(), body.joints)
    for tip in itertools.product((0.4, 0.55, 0.7), (-0.25, 0.0, 0.2), (0.02, 0.2, 0.35)):
        joints = ARM.joints(tip)
        where = kinematics.forward(np.array([*joints, 0.01, 0.01]))
        hand = where[kinematics.links.index("panda_link7")]
        np.testing.assert_allclose(hand[:, :3] @ (0, 0, ARM.tool) + hand[:, 3], tip, atol=1e-5)
        np.testing.assert_allclose(hand[:, 2], (0, 0, -1), atol=1e-6)
        left, right = (where[kinematics.links.index(link)][:, 3] for link in ("panda_leftfinger", "panda_rightfinger"))
        np.testing.assert_allclose(np.abs(left - right), (0, 0.02, 0), atol=1e-6)
        np.testing.assert_allclose(ARM.tip(joints), tip, atol=1e-9)
        assert all(low <= joint <= high for joint, (low, high) in zip(joints, body.limits, strict=False))


@pytest.mark.parametrize("tip", [(2.0, 0.0, 0.3), (0.5, 1.5, 0.1), (0.1, 0.0, 0.1)])
def test_what_is_out_of_reach_is_reached_for(tip):
    joints = ARM.joints(tip)
    assert np.isfinite(joints).all()
    x, y, _ = ARM.tip(joints)
    assert math.atan2(y, x) == pytest.approx(math.atan2(tip[1], tip[0]))


@pytest.mark.parametrize("env_id", STATE_IDS)
def test_no_episode_begins_at_its_goal(env_id, make_env):
    env = make_env(env_id)
    for seed in range(200):
        observation, info = env.reset(seed=seed)
        off = (observation["achieved_goal"] - observation["desired_goal"]).reshape(-1, 3)
        if "Reach" not in env_id:
            assert np.linalg.norm(off, axis=1).max() >= SUCCESS_DISTANCE
            assert not info["is_success"]


def test_half_of_what_is_to_be_picked_goes_into_the_air(make_env):
    env = make_env("MimicPickAndPlaceState-v0")
    heights = np.array([env.reset(seed=seed)[0]["desired_goal"][2] for seed in range(400)])
    on_table = np.isclose(heights, CUBE.half_height)
    assert 0.42 < on_table.mean() < 0.58
    assert heights.max() > 0.18


def test_one_block_is_asked_for_on_the_other(make_env):
    env = make_env("MimicStackState-v0")
    for seed in range(20):
        below, above = env.reset(seed=seed)[0]["desired_goal"].reshape(2, 3)
        np.testing.assert_allclose(above - below, (0, 0, CUBE.size), atol=1e-6)


@pytest.mark.parametrize(
    ("env_id", "least"),
    [("MimicReachState-v0", 1.0), ("MimicPushState-v0", 0.9), ("MimicPickAndPlaceState-v0", 0.9), ("MimicStackState-v0", 0.6)],
)
def test_demonstrations_show_how_it_is_done(env_id, least, make_env):
    """Real contacts: what is held is held by friction, and what is let go falls"""
    env = make_env(env_id)
    assert np.mean([demonstrated(env, seed)[0] for seed in range(20)]) >= least


def test_the_real_looks_grip_too(make_env):
    env = make_env("MimicPickAndPlaceState-v0", model="mesh")
    assert np.mean([demonstrated(env, seed)[0] for seed in range(5)]) >= 0.8


@pytest.mark.parametrize("env_id", [env_id for env_id in STATE_IDS if "Reach" not in env_id])
def test_what_touches_goes_on_alike(env_id, make_env):
    """Contacts are part of the state: in a copy, in a pickle, and taken up by an environment that was elsewhere"""
    env, other = make_env(env_id).unwrapped, make_env(env_id).unwrapped
    env.reset(seed=1)
    other.reset(seed=2)
    for step in range(40):
        if step % 8 == 7:
            contacts = p.getContactPoints(physicsClientId=env.simulation.client)
            assert contacts
            copied = copy.deepcopy(env)
            other.restore_run_state(pickle.loads(pickle.dumps(env.run_state())))
            robot = copy.deepcopy(env.robot)
            np.testing.assert_allclose(robot.qpos, env.robot.qpos, atol=1e-9)
            np.testing.assert_allclose(robot.block_velocities, env.robot.block_velocities, atol=1e-9)
            robot.simulation.close()
        action = env.demonstrate()
        seen = env.step(action)[0]["observation"]
        if step >= 7:
            for each in (copied, other):
                np.testing.assert_array_equal(each.step(action)[0]["observation"], seen)
            if step % 8 == 6:
                copied.close()
    copied.close()


@pytest.mark.parametrize("env_id", [env_id for env_id in STATE_IDS if "Reach" not in env_id])
def test_nothing_touches_what_it_touched_in_the_last_episode(env_id, make_env):
    env = make_env(env_id).unwrapped
    for _ in range(2):
        env.reset(seed=0)
        assert not p.getContactPoints(physicsClientId=env.simulation.client)
        for _ in range(20):
            env.step(env.demonstrate())
        assert p.getContactPoints(physicsClientId=env.simulation.client)


def test_success_is_five_centimetres_for_every_block(make_env):
    env = make_env("MimicStackState-v0").unwrapped
    env.reset(seed=0)
    desired = env.desired_goal
    for block, axis in itertools.product(range(2), range(3)):
        for way, is_met in ((0.049, True), (0.051, False)):
            achieved = desired.copy()
            achieved[3 * block + axis] += way
            assert env.goal.is_success(achieved, desired) == is_met
            assert env.compute_reward(achieved, desired, {}) == (0.0 if is_met else -1.0)
    many = np.stack([desired, desired + 1])
    np.testing.assert_array_equal(env.compute_reward(many, np.stack([desired] * 2), [{}] * 2), [0.0, -1.0])


def test_success_ends_no_episode(make_env):
    env = make_env("MimicReachState-v0")
    env.reset(seed=0)
    steps = [env.step(env.unwrapped.demonstrate()) for _ in range(50)]
    assert steps[-1][4]["is_success"]
    assert not any(terminated for _, _, terminated, _, _ in steps)
    assert [truncated for _, _, _, truncated, _ in steps] == [False] * 49 + [True]


def test_dense_pays_by_the_distance(make_env):
    env = make_env("MimicPushDense-v0")
    observation, *_ = env.reset(seed=0)
    observation, reward, *_ = env.step(np.zeros(3, np.float32))
    assert reward == pytest.approx(-np.linalg.norm(observation["achieved_goal"] - observation["desired_goal"]), abs=1e-6)


def test_what_is_thrown_off_the_table_stays_in_the_observation_space(make_env):
    env = make_env("MimicPushState-v0").unwrapped
    env.reset(seed=0)
    qpos = env.robot.qpos.copy()
    qpos[env.robot.n_arm :][:3] = 2.0, 0.0, 0.5
    env.robot.reset(qpos)
    for _ in range(100):
        observation, *_ = env.step(np.zeros(3, np.float32))
    assert env.observation_space.contains(observation)
    # It lies on the floor
    assert -1.0 < observation["achieved_goal"][2] < -0.5


def test_a_gripper_says_how_far_it_is_open(make_env):
    env = make_env("MimicPickAndPlaceState-v0")
    observation, _ = env.reset(seed=0)
    assert observation["observation"][6] == pytest.approx(1.0)
    for _ in range(10):
        observation, *_ = env.step(np.array([0, 0, 0, -1], np.float32))
    assert observation["observation"][6] < 0.05


@pytest.mark.parametrize("env_id", PLAIN_IDS)
def test_a_goal_is_a_photograph_of_itself(env_id, make_env):
    """What is asked for, put into the scene, gives the picture that is shown of it"""
    env = make_env(env_id).unwrapped
    observation, _ = env.reset(seed=1)
    env.reset(seed=2, options={"desired_goal": observation["desired_goal"]})
    np.testing.assert_array_equal(env.ask_for(observation["desired_goal"])["desired_image"], observation["desired_image"])
    np.testing.assert_allclose(env.desired_goal, observation["desired_goal"], atol=1e-6)


@pytest.mark.parametrize("env_id", [env_id for env_id in PLAIN_IDS if "Reach" not in env_id])
def test_where_a_block_is_asked_for_can_be_seen(env_id, make_env):
    """Without it the picture of the goal is another one, and it is there that it is"""
    env = make_env(env_id).unwrapped
    for seed in range(30):
        env.reset(seed=seed)
        qpos = env.goal.qpos_of(env.desired_goal)
        shown = env.photographs(qpos)
        places = env.camera.project(env.desired_goal.reshape(-1, 3).astype(float)) * 64
        for index, (column, row) in enumerate(places):
            without = qpos.copy()
            without[env.robot.n_arm + 6 * index + 2] = -5.0
            rows, columns = np.nonzero((env.photographs(without) != shown).any(axis=-1))
            assert len(rows) >= 4
            assert abs(rows - row).max() < 10
            assert abs(columns - column).max() < 10


@pytest.mark.parametrize("env_id", PLAIN_IDS)
def test_what_a_picture_shows_can_be_told(env_id, make_env):
    env = make_env(env_id)
    bare = env.unwrapped
    _, info = env.reset(seed=3)
    layout = bare.view_layout
    n = bare.pose_layout.dim
    np.testing.assert_array_equal(info["desired_view"][:n], bare.desired_goal)
    qpos = layout[JOINTS].of(info["desired_view"])
    np.testing.assert_array_equal(bare.photographs(qpos), bare._desired_image)
    # A cube that is turned by a quarter is the same cube
    if bare.goal.task.blocks:
        turned = bare.robot.qpos.copy()
        turned[bare.robot.n_arm + 3] += np.pi / 2
        np.testing.assert_allclose(bare.scene_of(turned), bare.scene_of(bare.robot.qpos), atol=1e-5)


def test_joints_can_be_driven_instead(make_env):
    env = make_env("MimicPickAndPlaceState-v0", control="joints")
    assert env.action_space.shape == (8,)
    before, _ = env.reset(seed=0)
    after, *_ = env.step(np.array([1, 0, 0, 0, 0, 0, 0, 1], np.float32))
    assert after["observation"].shape == (22 + 14,)
    assert 0.03 < after["observation"][7] - before["observation"][7] < 0.12
    with pytest.raises(EnvArgumentError, match="control='end_effector'"):
        env.unwrapped.demonstrate()


def test_episodes_may_begin_with_the_block_in_the_hand(make_env):
    env = make_env("MimicPickAndPlaceState-v0", held_starts=1.0)
    heights = []
    for seed in range(10):
        env.reset(seed=seed)
        for _ in range(10):
            observation, *_ = env.step(np.array([0, 0, 0.3, -1], np.float32))
        heights.append(observation["achieved_goal"][2])
    assert np.mean(np.array(heights) > 0.06) >= 0.9


def test_a_task_keeps_its_own_helps():
    task = ManipulationTask(grips=True, held_starts=0.5, near_goals=0.25)
    for arguments, expected in (({}, (0.5, 0.25)), ({"held_starts": 0.0}, (0.0, 0.25))):
        env = manipulation_env(task, **arguments)
        assert (env.goal.task.held_starts, env.goal.task.near_goals) == expected
        env.close()


def test_goals_may_be_near(make_env):
    env, far = make_env("MimicPushState-v0", near_goals=1.0), make_env("MimicPushState-v0")
    distances = []
    for each in (env, far):
        starts = [each.reset(seed=seed)[0] for seed in range(50)]
        distances.append(np.mean([np.linalg.norm(o["achieved_goal"] - o["desired_goal"]) for o in starts]))
    assert distances[0] < 0.75 * distances[1]


def test_a_task_of_ones_own_gets_every_mode(make_env):
    task = ManipulationTask(blocks=(CUBE, Block("puck", 0.05, (0.2, 0.7, 0.3), height=0.02, is_round=True)))
    ids = register_task("OwnTwo", task)
    assert ids == ("OwnTwo-v0", "OwnTwoState-v0", "OwnTwoDense-v0")
    assert register_task("OwnTwo", task) == ids
    observation, _ = make_env("OwnTwo-v0").reset(seed=0)
    assert observation["desired_goal"].shape == (6,)
    with pytest.raises(BodyError, match="stands for something else"):
        register_task("OwnTwo", ManipulationTask(grips=True))
    for env_id in ids:
        gym.registry.pop(env_id)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"control": "mind"}, "Unknown control 'mind'. Known: end_effector, joints"),
        ({"model": "wood"}, "Unknown model 'wood'. Known: primitives, mesh"),
        ({"held_starts": 2.0}, "held_starts must be a share from 0 to 1, got 2.0"),
        ({"held_starts": 0.5}, "held_starts needs a task with something to hold"),
        ({"reward_weights": {"joint_progress": 1.0}}, "Reward term 'joint_progress' needs goals with joints"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, sentence):
    with pytest.raises(EnvArgumentError, match=sentence.replace(".", r"\.")):
        gym.make("MimicPushState-v0", **arguments)


def test_a_goal_of_another_shape_is_refused(make_env):
    env = make_env("MimicPushState-v0").unwrapped
    env.reset(seed=0)
    for goal in (np.zeros(2), np.full(3, np.nan), np.full(3, 11.0)):
        with pytest.raises(EnvArgumentError, match="x, y and z of 1 block"):
            env.ask_for(goal)


def test_fingers_press_no_harder_than_they_can(make_env):
    env = make_env("MimicPickAndPlaceState-v0").unwrapped
    env.reset(seed=0)
    env.step(np.array([0, 0, 0, -1], np.float32))
    client, fingers = env.simulation.client, [PANDA.joints.index(name) for name in FINGERS]
    for finger in fingers:
        assert abs(p.getJointState(env.robot._id, env.robot._joints[finger], physicsClientId=client)[3]) <= 10.0 + 1e-6


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("Reach", ["points_x", "points_y", "points_z"]),
        ("Push", ["object_x", "object_y", "object_z"]),
        ("Stack", [f"object_{block}_{axis}" for block in range(2) for axis in "xyz"]),
    ],
)
def test_places_are_told_by_their_axes(task, names, make_env):
    env = make_env(f"Mimic{task}State-v0")
    env.reset(seed=0)
    told = describe(env, np.arange(1, len(names) + 1) / 10)
    assert list(told) == names
    assert list(told.values()) == pytest.approx(np.arange(1, len(names) + 1) / 10)
