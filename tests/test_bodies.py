"""Laws that robots of users obey, what is said about files that are no robots, and controls."""

import copy
import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pybullet_data
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_mimic import keys
from sb3_mimic.cli.common import describe, unit_of
from sb3_mimic.envs.bodies.humanoid import HUMANOID
from sb3_mimic.envs.bodies.reacher import REACHER_3D, REACHER_6D, REACHER_PLANE
from sb3_mimic.envs.make import DEFAULT_REWARD, find_body, pose_env
from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.registration import POSE_IDS, register_body
from sb3_mimic.envs.world.body import Body, KeyPoint
from sb3_mimic.envs.world.control import JointPosition, Torque
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.view import View
from sb3_mimic.errors import BodyError, MimicError

ROBOTS = Path(pybullet_data.getDataPath())
KUKA_FILE, PANDA_FILE = ROBOTS / "kuka_iiwa" / "model.urdf", ROBOTS / "franka_panda" / "panda.urdf"
TWO_JOINTS = Path(__file__).parent / "data" / "two_joints.urdf"
PANDA_ARM = [f"panda_joint{number}" for number in range(1, 8)]
# An arm of 3.2 m, and one that slides
LONG = TWO_JOINTS.read_text().replace('xyz="0.4 0 0"', 'xyz="3.0 0 0"')
SLIDING = TWO_JOINTS.read_text().replace('"nod" type="revolute"', '"nod" type="prismatic"').replace("0 1 0", "1 0 0")


def from_text(folder: Path, text: str, **options) -> Body:
    """The body of a file with this text"""
    file = folder / "robot.urdf"
    file.write_text(text)
    return Body.from_urdf(file, **options)


def change(old: str, new: str) -> str:
    """The text of the file of two joints, with one thing changed"""
    text = TWO_JOINTS.read_text()
    assert old in text
    return text.replace(old, new)


BODIES = {
    "Iiwa": Body.from_urdf(KUKA_FILE),
    "Panda": Body.from_urdf(PANDA_FILE, joints=PANDA_ARM, keypoints=[("elbow", "panda_link4"), ("hand", "panda_hand")]),
    "TwoJoints": Body.from_urdf(TWO_JOINTS),
    "TwoPositions": Body.from_urdf(TWO_JOINTS, control=JointPosition()),
}
IDS = [env_id for name, body in BODIES.items() for env_id in register_body(name, body)]
# Modes share all that is slow to try with a heavy robot
FAST_IDS = [env_id for env_id in IDS if env_id.startswith("Two")] + ["IiwaFused-v0", "PandaState-v0", "Panda-v0"]


def random_steps(env: gym.Env, n_steps: int, seed: int = 0) -> list[np.ndarray]:
    """What an episode with random actions shows, all in one row"""
    observation, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_steps):
        assert env.observation_space.contains(observation)
        observation, reward, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        rows.append(np.concatenate([*(observation[key].ravel() for key in sorted(observation)), [reward]]))
    return rows


@pytest.mark.parametrize("env_id", IDS)
def test_every_mode_can_be_made_and_stepped(env_id, make_env):
    env = make_env(env_id)
    rows = random_steps(env, 10)
    random_steps(env, 5, seed=1)
    np.testing.assert_array_equal(rows, random_steps(env, 10))
    assert env.spec.max_episode_steps == 100
    name = next(name for name in BODIES if env_id.startswith(name))
    ours = gym.spec(env_id.replace(name, "MimicReacher3D")).kwargs
    assert set(env.observation_space.spaces) == set(ours.get("observation_keys", keys.STATE_KEYS + keys.IMAGE_KEYS))
    assert set(env.unwrapped.reward.weights) == set(ours.get("reward_weights", DEFAULT_REWARD))


@pytest.mark.parametrize("env_id", FAST_IDS)
def test_checkers_have_nothing_to_say(env_id, make_env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sb3_check_env(make_env(env_id).unwrapped)
        gymnasium_check_env(make_env(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("env_id", FAST_IDS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"])
def test_copies_go_on_alike(env_id, copied, make_env):
    env = make_env(env_id).unwrapped
    random_steps(env, 10)
    other = copied(env)
    for action in np.random.default_rng(1).uniform(-1, 1, (10, *env.action_space.shape)):
        ours, theirs = env.step(action), other.step(action)
        for key in ours[0]:
            np.testing.assert_array_equal(ours[0][key], theirs[0][key])
    other.close()


def test_specifications_travel_to_other_processes():
    spec = pickle.loads(pickle.dumps(gym.spec("IiwaState-v0")))
    assert spec.kwargs["body"] == BODIES["Iiwa"]
    assert copy.deepcopy(BODIES["Panda"]) == BODIES["Panda"]
    assert BODIES["Iiwa"].model == KUKA_FILE, "a path stays a path"
    # A worker has not registered the robot: what it is made of comes along
    subproc = make_vec_env(spec.make, 2, seed=0, vec_env_cls=SubprocVecEnv)
    dummy = make_vec_env(spec.make, 2, seed=0)
    try:
        ours, theirs = subproc.reset(), dummy.reset()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])
    finally:
        subproc.close()
        dummy.close()


@pytest.mark.parametrize("name", BODIES)
def test_every_pose_is_in_the_picture(name):
    env = pose_env(BODIES[name])
    rng = np.random.default_rng(1)
    for _ in range(500):
        env.goal.randomise(rng)
        fractions = env.camera.project(np.vstack((env.robot.keypoints, env.robot.link_positions())))
        assert fractions.min() > 0
        assert fractions.max() < 1
    # Nor is it seen from so far that there is little to see, thin as it may be
    masks = []
    for _ in range(20):
        env.goal.randomise(rng)
        masks.append(env.camera.render_with_mask(env.simulation)[1].mean())
    assert np.mean(masks) > 0.015
    env.close()


@pytest.mark.parametrize("name", BODIES)
def test_passive_motion_gains_no_speed_and_random_torques_do_not_run_away(name):
    body = replace(BODIES[name], control=Torque())
    weightless = Simulation(gravity=0.0)
    robot = Robot(weightless, body)
    rng = np.random.default_rng(0)
    for _ in range(3):
        robot.reset(rng.uniform(robot.joint_low, robot.joint_high), rng.uniform(-3, 3, robot.n_joints))
        energies, speeds = [], []
        for _ in range(200):
            before = robot.keypoints
            weightless.step()
            robot.refresh()
            speeds.append(np.linalg.norm(robot.keypoints - before, axis=1).max() / weightless.dt)
            energies.append(np.abs(robot.qvel).max())
        assert max(speeds[-50:]) <= max(speeds[:50])
        assert max(energies[-50:]) < 3
    weightless.close()
    env = pose_env(body, observation_keys=keys.STATE_KEYS)
    fastest = 0.0
    for seed in range(6):
        env.reset(seed=seed)
        for _ in range(100):
            action = rng.uniform(-1, 1, robot.n_joints)
            env.step(np.sign(action) if seed % 2 else action)
            fastest = max(fastest, np.abs(env.robot.qvel).max())
    assert 0.5 < fastest <= 2 * max(body.max_velocity) + 1e-6
    env.close()


@pytest.mark.parametrize("name", BODIES)
def test_links_are_where_the_file_says(name):
    """What is worked out from the file and what PyBullet makes of it are the same"""
    robot = Robot(Simulation(), BODIES[name])
    file, rng = UrdfFile(BODIES[name].model), np.random.default_rng(0)
    for _ in range(5):
        robot.reset(rng.uniform(robot.joint_low, robot.joint_high))
        positions = dict(zip(robot.body.joints, robot.qpos, strict=True))
        for keypoint, point in zip(robot.body.keypoints, robot.keypoints, strict=True):
            distance = np.linalg.norm(file.position(keypoint.link, positions) - point)
            assert distance == pytest.approx(np.linalg.norm(keypoint.offset), abs=1e-6)
            assert np.linalg.norm(point) <= robot.reach
    robot.simulation.close()


def test_what_is_not_given_is_the_files_own():
    kuka, two = BODIES["Iiwa"], BODIES["TwoJoints"]
    assert kuka.joints == tuple(f"lbr_iiwa_joint_{number}" for number in range(1, 8))
    assert kuka.max_torque == (300.0,) * 7
    assert kuka.max_velocity == (10.0,) * 7
    assert two.joints == ("turn", "nod")
    assert two.limits == ((-2.0, 2.0), (-1.2, 1.2))
    assert two.max_torque == (8.0, 4.0)
    assert two.friction == (0.2, 0.02 * 4.0), "the file's, and 2 % of the torque where it has none"
    # The frame of the last link is where its joint is: the point is at the link's other end
    assert two.keypoints == (KeyPoint("head", "head", (0.2, 0.0, 0.0)),)
    assert two.limbs == (("stand", "head"),)
    assert Body.from_urdf(PANDA_FILE, joints=PANDA_ARM).keypoints[0].link == "panda_grasptarget"
    assert "panda_finger_joint2" not in Body.from_urdf(PANDA_FILE).joints, "it follows another joint"


def test_what_is_given_counts(tmp_path):
    text = TWO_JOINTS.read_text().replace('"turn" type="revolute"', '"turn" type="continuous"')
    body = from_text(
        tmp_path, text, limits={"turn": (-3.0, 1.0)}, max_torque={"nod": 2.0}, friction=0.3, max_velocity=[1.0, 2.0],
        keypoints=[("elbow", "head"), ("nose", "head", (0.2, 0.0, 0.0))], camera=View((0, 0, 3), (0, 0, 0), (0, 1, 0), 50),
        gravity=0.0,
    )  # fmt: skip
    assert body.limits[0] == (-3.0, 1.0)
    assert body.max_torque == (8.0, 2.0)
    assert body.frictions == (0.3, 0.3)
    assert body.limbs == (("stand", "elbow", "nose"),)
    env = pose_env(body)
    assert env.simulation.gravity == 0.0
    assert env.camera.fov == 50
    np.testing.assert_array_equal(env.robot.joint_low, [-3.0, -1.2])
    # Limits hold: pushed against, a joint stays
    env.reset(seed=0)
    for _ in range(300):
        env.step(np.array([1.0, 0.0]))
    assert 0.9 < env.robot.qpos[0] < 1.1
    env.close()


def test_joints_that_are_not_driven_are_held_still(tmp_path):
    """Gripper and elbow of the Panda stay as they are, wherever they are put"""
    joints = ["panda_joint1", "panda_joint2", "panda_joint3"]
    body = Body.from_urdf(PANDA_FILE, joints, posture={"panda_joint4": -1.5, "panda_finger_joint1": 0.02})
    robot = Robot(Simulation(), body)
    robot.reset(np.zeros(3))
    file = UrdfFile(PANDA_FILE)
    expected = file.position("panda_leftfinger", {"panda_joint4": -1.5, "panda_finger_joint1": 0.02})
    names = [name for name in file.links if name != file.root]
    index = names.index("panda_leftfinger")
    np.testing.assert_allclose(robot.link_positions()[index], expected, atol=1e-5)
    span = np.linalg.norm(robot.link_positions()[index] - robot.link_positions()[names.index("panda_link3")])
    for _ in range(50):
        robot.apply([1.0, -1.0, 1.0])
        robot.simulation.step()
        robot.refresh()
    moved = np.linalg.norm(robot.link_positions()[index] - robot.link_positions()[names.index("panda_link3")])
    assert moved == pytest.approx(span, abs=1e-5)
    with pytest.raises(BodyError, match=r"posture names panda_joint1\. Joints that it can be given for: panda_joint4"):
        Body.from_urdf(PANDA_FILE, joints, posture={"panda_joint1": 0.0})
    robot.simulation.close()


def test_meshes_are_found_from_where_the_file_is(tmp_path, monkeypatch):
    package = tmp_path / "some_folder"
    (package / "urdf").mkdir(parents=True)
    (package / "meshes").mkdir()
    mesh = "v 0 0 0\nv 0.2 0 0\nv 0 0.2 0\nv 0 0 0.2\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    (package / "meshes" / "head.obj").write_text(mesh)
    box = '<box size="0.2 0.05 0.05"/>'
    monkeypatch.chdir(tmp_path)
    pictures = []
    for name in ("../meshes/head.obj", "package://my_arm/meshes/head.obj", str(package / "meshes" / "head.obj")):
        body = from_text(package / "urdf", change(box, f'<mesh filename="{name}"/>'))
        env = pose_env(body)
        pictures.append(env.reset(seed=0)[0][keys.IMAGE])
        env.close()
    for picture in pictures:
        np.testing.assert_array_equal(picture, pictures[0])
    assert not np.array_equal(pictures[0], pose_env(BODIES["TwoJoints"]).reset(seed=0)[0][keys.IMAGE])
    with pytest.raises(BodyError, match=r"names the mesh 'gone\.obj', not found in"):
        from_text(package / "urdf", change(box, '<mesh filename="gone.obj"/>'))


def test_an_arm_of_three_metres_stays_in_its_space(tmp_path):
    env = pose_env(from_text(tmp_path, LONG))
    assert env.pose_layout["points"].bound > 3.2
    far = []
    for seed in range(5):
        random_steps(env, 40, seed)
        far.append(np.abs(env.robot.keypoints).max())
    assert max(far) > 2.0, "it does reach farther than our own bodies"
    env.close()
    for body in (REACHER_PLANE, REACHER_3D, REACHER_6D, HUMANOID):
        env = pose_env(body, observation_keys=keys.STATE_KEYS)
        assert env.pose_layout["points"].bound == 2.0, "spaces of shipped agents stay as they are"
        env.close()


@pytest.mark.parametrize("joints", [["nod"], None])
def test_slides_are_told_in_metres(joints, tmp_path):
    env = pose_env(from_text(tmp_path, SLIDING, joints=joints))
    env.reset(seed=1)
    told = describe(env, env.achieved_goal)
    assert told == pytest.approx(dict(zip(env.robot.body.joints, env.robot.qpos, strict=True)), abs=1e-3)
    assert unit_of(env.pose_layout) == ("", 3)
    env.close()


def test_slides_are_measured_in_metres(tmp_path):
    env = pose_env(from_text(tmp_path, SLIDING, joints=["nod"]))
    assert env.pose_layout["joints"].measure == "joint_error_cm"
    random_steps(env, 60)
    assert env.robot.reach == pytest.approx(0.5 + 1.2 + 0.2)
    env.close()
    env = pose_env(from_text(tmp_path, SLIDING))
    assert env.pose_layout["joints"].measure == "joint_error", "rad and m together have no unit"
    random_steps(env, 60)
    env.close()


BAD_FILES = {
    "no effort": (change('effort="8"', 'effort="0"'), r"effort of joint 'turn' .* must be positive, got 0\.0\. .*max_torque="),
    "no effort at all": (change(' effort="8"', ""), "effort of joint 'turn'"),
    "infinite effort": (change('effort="8"', 'effort="inf"'), "effort of joint 'turn'"),
    "a word": (change('effort="8"', 'effort="strong"'), "effort of joint 'turn' .* must be a number, got 'strong'"),
    "continuous": (change('"turn" type="revolute"', '"turn" type="continuous"'), r"limits of joint 'turn' .*continuous"),
    "no limit": (change('lower="-2.0" upper="2.0"', ""), "limits of joint 'turn'"),
    "infinite limit": (change('upper="2.0"', 'upper="inf"'), r"limits of joint 'turn' .*got \(-2\.0, inf\)"),
    "limits turned round": (change('upper="2.0"', 'upper="-3.0"'), "the lower one first"),
    "no axis": (change("0 0 1", "0 0 0"), "axis of joint 'turn'"),
    "bad origin": (
        change('<origin xyz="0 0 0.1"/>', '<origin xyz="0 0"/>'),
        "xyz of joint 'turn' .* three numbers, got '0 0'",
    ),
    "unknown parent": (change('parent link="boom"', 'parent link="bom"'), "parent of joint 'nod' needs a link 'bom'"),
    "two of a name": (change('joint name="nod"', 'joint name="turn"'), "needs a name of its own"),
    "a circle": (change('parent link="stand"', 'parent link="head"'), "one tree|circle"),
    "nothing heavy": (change('<mass value="0.5"/>', '<mass value="0"/>'), "Joint 'nod' .* moves nothing that has a mass"),
    "negative mass": (change('<mass value="0.5"/>', '<mass value="-1"/>'), "mass and inertia of link 'head'"),
    "unknown type": (change('"nod" type="revolute"', '"nod" type="bendy"'), "type of joint 'nod' .*got 'bendy'"),
    "unknown mesh": (change('<box size="0.2 0.05 0.05"/>', '<mesh filename="head.glb"/>'), r"one of \.obj, \.stl, \.dae"),
    "broken XML": (TWO_JOINTS.read_text()[:700], "damaged, or no XML"),
    "empty": ("", "damaged, or no XML"),
    "MuJoCo": ("<mujoco><worldbody/></mujoco>", "no URDF: it holds a <mujoco>"),
    "xacro": (change("</robot>", '<x:macro xmlns:x="http://www.ros.org/wiki/xacro"/></robot>'), "xacro"),
    "no joints": ('<robot name="stone"><link name="stone"/></robot>', "no joint that can be driven"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_files_are_refused_with_what_is_wrong(fault, tmp_path):
    text, message = BAD_FILES[fault]
    with pytest.raises(BodyError, match=f"(?s){message}") as raised:
        from_text(tmp_path, text)
    assert isinstance(raised.value, MimicError | ValueError)
    assert "robot.urdf" in str(raised.value), "the file is named"


def test_bad_options_are_refused(tmp_path):
    for options, message in (
        ({"joints": ["turn", "nid"]}, r"no joint 'nid' in .*Its joints: turn, nod"),
        ({"joints": ["turn", "turn"]}, "named 2 times"),
        ({"keypoints": [("tip", "hed")]}, r"Key point 'tip' needs a link 'hed'.*stand, boom, head"),
        ({"keypoints": [("tip",)]}, "A key point is"),
        ({"keypoints": [("tip", "head", (1.0, 2.0))]}, "A key point is"),
        ({"keypoints": [("tip", "head"), ("tip", "boom")]}, "name of its own"),
        ({"max_torque": {"nid": 1.0}}, "max_torque names nid"),
        ({"max_torque": -1.0}, "max_torque of joint 'turn' must be a positive number, got -1"),
        ({"max_torque": [1.0]}, "max_torque"),
        ({"limits": {"nod": (1.0, 0.0)}}, "lower one first"),
        ({"limits": {"nid": (0.0, 1.0)}}, "limits names nid"),
        ({"friction": -0.1}, "friction of joint 'turn'"),
        ({"max_velocity": 0.0}, "max_velocity of joint 'turn'"),
        ({"control": "torque"}, "control must be a Control"),
        ({"camera": (0, 0, 1)}, "camera must be a View"),
        ({"gravity": float("nan")}, "gravity"),
    ):
        with pytest.raises(BodyError, match=f"(?s){message}"):
            Body.from_urdf(TWO_JOINTS, **options)
    with pytest.raises(BodyError, match=r"cannot be read: No such file"):
        Body.from_urdf(tmp_path / "gone.urdf")
    with pytest.raises(BodyError, match="cannot be read"):
        Body.from_urdf(tmp_path)
    with pytest.raises(BodyError, match=r"pathlib\.Path"):
        pose_env(replace(BODIES["TwoJoints"], model="robot.urdf"))
    with pytest.raises(BodyError, match=r"beyond its limits 0\.0 and 0\.04"):
        Body.from_urdf(PANDA_FILE, PANDA_ARM, posture={"panda_finger_joint1": 4.0})
    with pytest.raises(BodyError, match=r"link 'stand', which none of the joints .* moves"):
        pose_env(replace(BODIES["TwoJoints"], keypoints=(KeyPoint("foot", "stand"),), limbs=()))
    with pytest.raises(BodyError, match="step must be a positive number, got 0"):
        JointPosition(step=0.0)


def test_what_pybullet_cannot_load_is_named(tmp_path):
    body = from_text(tmp_path, change('<box size="0.2 0.05 0.05"/>', "<blob/>"))
    with pytest.raises(BodyError, match=r"PyBullet cannot load .*robot\.urdf"):
        pose_env(body)


@pytest.mark.parametrize(
    "left_out",
    [
        ' name="two_joints"',
        '<inertia ixx="0.0005" ixy="0" ixz="0" iyy="0.002" iyz="0" izz="0.002"/>',
        '<collision><origin xyz="0.2 0 0"/><geometry><box size="0.4 0.06 0.06"/></geometry></collision>',
        ' velocity="3"',
    ],
)
def test_what_a_robot_can_do_without(left_out, tmp_path):
    env = pose_env(from_text(tmp_path, change(left_out, "")))
    random_steps(env, 50)
    assert np.abs(env.robot.qvel).max() < 20
    env.close()


def test_a_file_that_is_gone_is_named_when_the_environment_is_made(tmp_path):
    body = from_text(tmp_path, TWO_JOINTS.read_text())
    (tmp_path / "robot.urdf").unlink()
    with pytest.raises(BodyError, match=r"robot\.urdf cannot be read"):
        pose_env(body)


def test_names_that_are_bad_or_taken_are_refused():
    body = BODIES["TwoJoints"]
    before = set(gym.registry)
    for name in ("", "My Arm", "MyArm-v0", "ns/MyArm", "2Arms", "Größe", None):
        with pytest.raises(BodyError, match="letters, digits and underscores"):
            register_body(name, body)
    for name in ("MimicReacher3D", "MimicReacher3DState"):
        with pytest.raises(BodyError, match=f"{name}-v0.* stands for something else"):
            register_body(name, body)
    with pytest.raises(BodyError, match="got a int"):
        register_body("Nothing", 3)
    for steps in (0, 1.5, True, None):
        with pytest.raises(BodyError, match="max_episode_steps"):
            register_body("Nothing", body, max_episode_steps=steps)
    with pytest.raises(BodyError, match="IiwaState-v0"):
        register_body("Iiwa", body)
    assert set(gym.registry) == before, "nothing was registered by halves"
    # A module that is imported twice, once as __main__, says the same again
    assert register_body("TwoJoints", Body.from_urdf(TWO_JOINTS)) == tuple(i for i in IDS if i.startswith("TwoJoints"))


def test_bodies_given_as_text_are_found():
    assert find_body("sb3_mimic.envs.bodies.reacher:REACHER_3D") is REACHER_3D
    for text in ("sb3_mimic.envs.bodies.reacher:REACHER", "no_such_module:ARM", "words", "", ":"):
        with pytest.raises(BodyError, match="module:NAME"):
            find_body(text)
    with pytest.raises(BodyError, match="is no body"):
        find_body("sb3_mimic.envs.bodies.reacher:math")
    for env_id in POSE_IDS:
        assert isinstance(gym.spec(env_id).kwargs["body"], str), "nothing is imported before an environment is made"
        assert gym.spec(env_id).to_json()


@pytest.mark.parametrize("step", [None, 0.2])
@pytest.mark.parametrize("body", [REACHER_3D, REACHER_6D, BODIES["Iiwa"], BODIES["Panda"]], ids=lambda body: body.joints[0])
def test_joints_go_where_positions_say(body, step):
    env = pose_env(replace(body, control=JointPosition(step=step)), observation_keys=keys.STATE_KEYS)
    assert env.action_space.shape == (len(body.joints),)
    env.reset(seed=0)
    joints, rng = env.pose_layout["joints"], np.random.default_rng(0)
    target = rng.uniform(-0.8, 0.8, len(body.joints))
    values = np.array(joints.offset) + target * np.array(joints.scale)
    fastest = 0.0
    for _ in range(200):
        way = (values - env.robot.qpos) / (step or 1.0)
        _, _, _, _, info = env.step(target if step is None else np.clip(way, -1, 1))
        fastest = max(fastest, np.abs(env.robot.qvel).max())
        # What rewards weigh are the fractions of the largest torque that the motors gave
        assert (np.abs(info["efforts"]) <= 1).all()
        expected = np.square(info["efforts"]).mean() * env.reward.weights["stall_torque"]
        assert info["reward_stall_torque"] == pytest.approx(expected)
    np.testing.assert_allclose(env.robot.qpos, values, atol=0.02)
    assert np.abs(info["efforts"]).max() > 1e-3, "it holds the arm against gravity"
    assert fastest < 4 * np.pi
    for bad in (np.zeros(len(body.joints) + 1), np.full(len(body.joints), np.nan)):
        with pytest.raises(ValueError, match="finite numbers"):
            env.step(bad)
    env.close()


def test_torques_are_the_action(make_env):
    env = make_env("MimicReacher3DState-v0").unwrapped
    env.reset(seed=0)
    *_, info = env.step(np.array([0.5, -3.0, 0.25]))
    np.testing.assert_array_equal(info["action"], [0.5, -1.0, 0.25])


def test_a_control_may_have_other_numbers_than_one_for_each_joint():
    """One motor drives both joints of the arm alike"""

    class Together(Torque):
        def names(self, joints):
            return ("both",)

        def apply(self, client, motors, action, qpos):
            super().apply(client, motors, action * 2, qpos)

        def efforts(self, motors, action, states):
            return action * 2

    env = pose_env(replace(REACHER_PLANE, control=Together()))
    other = pose_env(REACHER_PLANE)
    assert env.action_space.shape == (1,)
    env.reset(seed=0)
    other.reset(seed=0)
    for _ in range(5):
        ours, theirs = env.step(np.array([0.5])), other.step(np.array([0.5, 0.5]))
        np.testing.assert_array_equal(ours[0][keys.OBSERVATION], theirs[0][keys.OBSERVATION])
        assert ours[1] == theirs[1]
    with pytest.raises(ValueError, match="both"):
        env.step(np.zeros(2))
    env.close()
    other.close()
