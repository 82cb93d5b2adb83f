"""The ray caster: what it draws is where PyBullet says that it is, smooth, and the same to the last bit everywhere."""

import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import gymnasium as gym
import numpy as np
import pybullet as p
import pytest

import sb3_mimic
from sb3_mimic.envs.make import EVERY_KEY
from sb3_mimic.envs.models import urdf
from sb3_mimic.envs.models.kinematics import Kinematics
from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.registration import POSE_IDS, TASK_IDS
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.photographer import Light, RayCaster, ray_pattern
from sb3_mimic.envs.sight.scene import Scene
from sb3_mimic.envs.world.body import Body, KeyPoint
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.view import View
from sb3_mimic.errors import BodyError, EnvArgumentError

ROOT = Path(sb3_mimic.__file__).parent.parent
PLAIN_IDS = [
    env_id for env_id in (*POSE_IDS, *TASK_IDS) if gym.spec(env_id).kwargs.get("observation_keys", EVERY_KEY) == EVERY_KEY
]
VIEW = View(eye=(2.0, 0.0, 0.0), target=(0.0, 0.0, 0.0), up=(0, 0, 1), fov=40, width=101, height=101)
RED = (1.0, 0.0, 0.0)
EVEN = Light(strength=0.0, ambient=1.0)


def draw(look: str, view: View = VIEW, light: Light = EVEN, n_rays: int = 32, with_coverage: bool = False) -> np.ndarray:
    """:return: A picture of a base with a look, and of an arm too small to be seen"""
    arm = urdf.limb((urdf.Segment("arm", (("hinge", (0, 0, 1), -1.0, 1.0),), 1e-6, 1e-7, 0.1, RED),), "base", (0, 0, 50.0))
    body = Body(urdf.robot("thing", arm, look=look), ("hinge",), (KeyPoint("tip", "arm"),), (1.0,), camera=view)
    robot = Robot(Simulation(), body)
    scene = Scene.of(body)
    assert scene is not None
    return RayCaster(robot, view, scene, light, n_rays).photographs(robot.qpos, with_coverage=with_coverage)


def radius_in_picture(radius: float, view: View = VIEW) -> float:
    """:return: The radius of a ball in the middle, in pixels"""
    slope = radius / np.sqrt(view.eye[0] ** 2 - radius**2)
    return slope / np.tan(np.radians(view.fov / 2)) * view.height / 2


@pytest.mark.parametrize("env_id", PLAIN_IDS)
def test_links_are_where_pybullet_says(env_id):
    env = gym.make(env_id).unwrapped
    robot, rng = env.robot, np.random.default_rng(1)
    kinematics = Kinematics(robot.body.read_model(), robot.body.joints, dict(robot.body.posture))
    names = [p.getJointInfo(0, joint, env.simulation.client)[12].decode() for joint in range(len(kinematics.links) - 1)]
    for _ in range(5):
        robot.reset(rng.uniform(robot.joint_low, robot.joint_high))
        places = dict(zip(kinematics.links, kinematics.forward(robot.qpos[: len(robot.body.joints)]), strict=True))
        states = p.getLinkStates(0, range(len(names)), computeForwardKinematics=1, physicsClientId=env.simulation.client)
        for name, state in zip(names, states, strict=True):
            assert np.allclose(places[name][:, 3], state[4], atol=1e-6)
            assert np.allclose(places[name][:, :3].ravel(), p.getMatrixFromQuaternion(state[5]), atol=1e-6)
    env.close()


def test_a_slide_and_a_joint_that_is_held():
    text = """<robot name="r"><link name="base"/><link name="cart"/><link name="tip"/>
        <joint name="slide" type="prismatic"><parent link="base"/><child link="cart"/><origin xyz="1 0 0" rpy="0 0 1.5707963"/>
        <axis xyz="1 0 0"/><limit lower="-1" upper="1"/></joint>
        <joint name="held" type="revolute"><parent link="cart"/><child link="tip"/><origin xyz="0.5 0 0"/>
        <axis xyz="0 0 1"/><limit lower="0.5" upper="1"/></joint></robot>"""
    places = Kinematics(UrdfFile(text), ("slide",)).forward(np.array([0.25]))
    assert np.allclose(places[1][:, 3], (1.0, 0.25, 0.0), atol=1e-6)
    assert np.allclose(places[2][:, 3], (1.0, 0.75, 0.0), atol=1e-6)
    turned = np.pi / 2 + 0.5
    assert np.allclose(places[2][:2, 0], (np.cos(turned), np.sin(turned)), atol=1e-6), "held at the limit next to 0"


@pytest.mark.parametrize(
    ("look", "area"),
    [
        (urdf.sphere(0.3, (0, 0, 0), RED), np.pi * radius_in_picture(0.3) ** 2),
        # Its front is nearer
        (urdf.box((0.4, 0.6, 0.5), (0, 0, 0), RED), 0.6 * 0.5 * (50.5 / np.tan(np.radians(20)) / 1.8) ** 2),
    ],
)
def test_the_area_is_exact(look, area):
    covered = draw(look, with_coverage=True)[..., 3].sum() / 255
    assert covered == pytest.approx(area, rel=2e-3)


def test_cylinders_and_capsules_end_as_they_should():
    def rows(text: str) -> np.ndarray:
        return (draw(text, with_coverage=True)[..., 3] > 127).any(axis=1).sum()

    cylinder = urdf.cylinder(0.1, 0.6, (0, 0, 0), RED)
    capsule = cylinder.replace("cylinder", "capsule")
    per_metre = 50.5 / np.tan(np.radians(20)) / 2
    assert rows(cylinder) == pytest.approx(0.6 * per_metre, rel=0.07)
    assert rows(capsule) == pytest.approx(0.8 * per_metre, abs=2)
    above = View((0.01, 0.0, 2.0), (0.0, 0.0, 0.0), (0, 0, 1), 40, 101, 101)
    from_above = draw(cylinder, above, with_coverage=True)[..., 3].sum() / 255
    assert from_above == pytest.approx(np.pi * (0.1 * 50.5 / np.tan(np.radians(20)) / 1.7) ** 2, rel=0.05)


def test_what_is_nearer_hides_what_is_behind():
    behind = urdf.box((0.1, 1.0, 1.0), (-0.5, 0, 0), (0.0, 0.0, 1.0))
    picture = draw(urdf.sphere(0.2, (0, 0, 0), RED) + behind)
    assert tuple(picture[50, 50]) == (255, 0, 0)
    assert tuple(picture[50, 75]) == (0, 0, 255)
    assert tuple(picture[50, 0]) == (255, 255, 255)


def test_the_light_comes_from_its_side():
    picture = draw(urdf.sphere(0.3, (0, 0, 0), (0.5, 0.5, 0.5)), light=Light((0, 0, 1), 0.7, 0.3)).astype(int)
    assert picture[42, 50, 0] > picture[50, 50, 0] + 10 > picture[58, 50, 0] + 20
    with pytest.raises(EnvArgumentError, match="direction"):
        Light((0, 0, 0))


def test_edges_change_smoothly():
    """A ball that moves by a hundredth of a pixel changes the picture by about as much"""
    step = 0.01 * 2 * np.tan(np.radians(20)) / 50.5
    pictures = [draw(urdf.sphere(0.3, (0, n * step, 0), RED)).astype(float) for n in range(0, 101, 5)]
    jumps = [np.abs(one - other).sum() / 255 for one, other in pairwise(pictures)]
    # Green and blue of both sides, of a twentieth of a pixel
    expected = 2 * 2 * 2 * radius_in_picture(0.3) / 20
    assert np.mean(jumps) == pytest.approx(expected, rel=0.2)
    assert max(jumps) < 1.5 * expected


def test_inside_and_behind():
    assert (draw(urdf.sphere(0.3, (5.0, 0, 0), RED)) == 255).all(), "behind the camera"
    assert draw(urdf.sphere(3.0, (0.0, 0, 0), RED)).shape == (101, 101, 3), "around the camera"
    assert (draw(urdf.box((1, 9, 9), (2.4, 0, 0), RED), with_coverage=True)[..., 3] == 0).all(), "the camera is within"


@pytest.mark.parametrize("env_id", PLAIN_IDS)
def test_pictures_resemble_those_of_pybullet(env_id):
    env = gym.make(env_id).unwrapped
    assert env.renderer == "raycaster-1"
    large = Camera(env.camera.eye, env.camera.target, env.camera.up, env.camera.fov, 256, 256)
    for seed in range(3):
        env.reset(seed=seed)
        mine = env.photographs(env.robot.qpos, large, with_coverage=True)[..., 3] > 127
        _, theirs = large.render_with_mask(env.simulation)
        # Whose round things have corners
        assert (mine & theirs).sum() / (mine | theirs).sum() > 0.9
    env.close()


def test_photographs_leave_the_episode_as_it_is():
    env, other = (gym.make("MimicReacher3D-v0").unwrapped for _ in range(2))
    poses = np.random.default_rng(0).uniform(env.robot.joint_low, env.robot.joint_high, (7, 3))
    for each in (env, other):
        each.reset(seed=0)
    large = View(env.camera.eye, env.camera.target, env.camera.up, env.camera.fov, 200, 100)
    assert env.photographs(poses, large, with_coverage=True).shape == (7, 100, 200, 4)
    assert env.photographs(poses[0]).shape == (64, 64, 3)
    assert (env.photographs(poses)[3] == env.photographs(poses[3])).all()
    for action in np.random.default_rng(1).uniform(-1, 1, (5, 3)).astype(np.float32):
        one, two = env.step(action)[0], other.step(action)[0]
        assert all((one[key] == two[key]).all() for key in one)
    assert (env.step(action)[0]["image"] == env.photographs(env.robot.qpos)).all()
    for wrong in (poses[:, :2], np.full(3, np.nan), poses[None]):
        with pytest.raises(EnvArgumentError, match="qpos"):
            env.photographs(wrong)
    for each in (env, other):
        each.close()


def test_meshes_are_drawn_by_pybullet():
    pybullet_data = pytest.importorskip("pybullet_data")
    from sb3_mimic.envs.make import pose_env

    kuka = Body.from_urdf(Path(pybullet_data.getDataPath()) / "kuka_iiwa" / "model.urdf")
    env = pose_env(kuka)
    env.reset(seed=0)
    assert env.renderer == "tinyrenderer"
    before = env.robot.qpos.copy()
    pictures = env.photographs(np.stack((before, before + 0.2)), with_coverage=True)
    assert pictures.shape == (2, 64, 64, 4)
    assert (pictures[0] != pictures[1]).any()
    assert (env.robot.qpos == before).all()
    with pytest.raises(EnvArgumentError, match="meshes"):
        env.photographs(before, light=EVEN)
    env.close()


def test_shapes_that_cannot_be_drawn():
    for wrong in ('<ellipsoid radius="1"/>', '<sphere radius="big"/>', '<box size="1 2"/>'):
        text = urdf.robot("r", look=f"<visual><geometry>{wrong}</geometry></visual>")
        file = UrdfFile(text)
        with pytest.raises(BodyError, match="cannot be drawn"):
            Scene(file, Kinematics(file, ()))


def test_patterns_of_rays():
    for n_rays in (1, 4, 8, 16, 32):
        pattern = ray_pattern(n_rays)
        for axis in range(2):
            assert len(set(pattern[:, axis])) == n_rays, "no two in a row or in a column"
    with pytest.raises(ValueError, match="n_rays"):
        ray_pattern(7)


DRAW = """
import gymnasium as gym, hashlib, numpy as np, sb3_mimic
env = gym.make("MimicHumanoid-v0").unwrapped
poses = np.random.default_rng(0).uniform(env.robot.joint_low, env.robot.joint_high, (20, 6))
print(hashlib.sha256(env.photographs(poses).tobytes()).hexdigest())
"""


def test_pictures_are_the_same_in_every_process(tmp_path):
    env = gym.make("MimicHumanoid-v0").unwrapped
    poses = np.random.default_rng(0).uniform(env.robot.joint_low, env.robot.joint_high, (20, 6))
    here = hashlib.sha256(env.photographs(poses).tobytes()).hexdigest()
    env.close()
    for threads in ("1", "4"):
        variables = {**os.environ, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
        there = subprocess.run([sys.executable, "-c", DRAW], capture_output=True, text=True, env=variables, check=True)
        assert there.stdout.split()[-1] == here


READ_ONLY = """
import pathlib, numba.core.caching as caching
# As where neither the package's folder nor the home folder can be written to
for locator in caching.CacheImpl._locator_classes:
    if "UserProvided" not in locator.__name__:
        locator.from_function = classmethod(lambda cls, *args: None)
import sb3_mimic.jit as jit
@jit.jit
def double(x):
    return 2 * x
"""


def test_without_a_folder_to_write_to(tmp_path):
    file = tmp_path / "code.py"
    file.write_text(READ_ONLY + "assert double(2.0) == 4.0\n")
    variables = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(file)], env=variables, check=True)
    (cache,) = tmp_path.glob("sb3_mimic-cache-*")
    assert cache.stat().st_mode & 0o077 == 0, "nobody else may write what is run here"
    assert list(cache.rglob("*.nbi"))


NUMBERS = "FACTOR = {}\n"
CALLEE = """
from numbers_of_others import FACTOR
from sb3_mimic.jit import jit
@jit
def inner(x):
    return {} * FACTOR * x
"""
CALLER = """
from callee import inner
from sb3_mimic.jit import jit
@jit
def outer(x):
    return inner(x)
print(outer(1.0), sum(outer._cache_hits.values()))
"""


def test_machine_code_is_made_anew_when_what_it_calls_changes(tmp_path):
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    (tmp_path / "caller.py").write_text(CALLER)
    told = []
    for factor, number in ((2, 1), (2, 1), (3, 1), (3, 5)):
        (tmp_path / "callee.py").write_text(CALLEE.format(factor))
        (tmp_path / "numbers_of_others.py").write_text(NUMBERS.format(number))
        command = [sys.executable, str(tmp_path / "caller.py")]
        told.append(subprocess.run(command, capture_output=True, text=True, env=variables, check=True).stdout.split())
    assert told == [["2.0", "0"], ["2.0", "1"], ["3.0", "0"], ["15.0", "0"]]


FIRST_PICTURE = """
import gymnasium as gym, numpy as np, sb3_mimic
from sb3_mimic.envs.sight.raycaster import draw
env = gym.make("MimicReacher3D-v0").unwrapped
env.reset(seed=0)
poses = np.random.default_rng(0).uniform(env.robot.joint_low, env.robot.joint_high, (4, 3))
for each in (poses, np.asfortranarray(poses), poses[:1], poses[::2], poses.astype(np.float32), poses.tolist()):
    env.photographs(each)
env.photographs(poses[0], with_coverage=True)
from numba.core.dispatcher import Dispatcher
import gc
ours = [each for each in gc.get_objects() if isinstance(each, Dispatcher) and "sight.ra" in each.py_func.__module__]
print(max(len(each.signatures) for each in ours))
"""


def test_machine_code_for_pictures_is_made_once(tmp_path):
    """Each function for one kind of arguments, whatever poses are given: the first picture takes seconds by it"""
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", FIRST_PICTURE], capture_output=True, text=True, env=variables, check=True)
    assert told.stdout.split()[-1] == "1"
