"""What people see: a robot on a floor, its shadow, and what it is asked for as a ghost."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pybullet as p
import pybullet_data
import pytest

from sb3_mimic.envs.bodies.humanoid import HUMANOID
from sb3_mimic.envs.bodies.reacher import REACHER_3D
from sb3_mimic.envs.make import pose_env
from sb3_mimic.envs.models import urdf
from sb3_mimic.envs.models.kinematics import Kinematics
from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.registration import WALK_ID
from sb3_mimic.envs.sight.compositing import COLORS, paint_floor
from sb3_mimic.envs.sight.photographer import DAYLIGHT, Light, camera_arrays
from sb3_mimic.envs.sight.scene import Scene
from sb3_mimic.envs.sight.stage import Stage, layer_of
from sb3_mimic.envs.world.body import Body
from sb3_mimic.envs.world.view import View
from sb3_mimic.envs.world.walker import JOINTS
from sb3_mimic.pictures import read_full_picture, shrink, write_picture

BODIES = ("MimicReacherPlane-v0", "MimicReacher3D-v0", "MimicReacher6D-v0", "MimicHalfHumanoid-v0", "MimicHumanoid-v0")
KUKA = Path(pybullet_data.getDataPath(), "kuka_iiwa/model.urdf")
OWN = Path(__file__).parent / "data/two_joints.urdf"
STATE = ("observation", "achieved_goal", "desired_goal")


def brightness(picture: np.ndarray) -> np.ndarray:
    return picture.astype(float).mean(axis=-1)


def nothing(view: View) -> np.ndarray:
    return np.zeros((view.height, view.width, 4), np.uint8)


def ball(height: float, radius: float = 0.1):
    """Draws a ball above the origin"""
    file = UrdfFile(urdf.robot("ball", look=urdf.sphere(radius, (0.0, 0.0, height), (0.8, 0.1, 0.1))))
    return layer_of(Scene(file, Kinematics(file, ())), np.empty(0))


def shown(env_id: str, make_env, seed: int):
    """An environment, its picture, and where robot and ghost are in it, in [0, 1]"""
    env = make_env(env_id, render_mode="rgb_array").unwrapped
    env.reset(seed=seed)
    view = replace(env.camera, width=480, height=480)
    target = env.pose_layout.joints(env.desired_goal)
    layers = [env.photographs(qpos, view, with_coverage=True) for qpos in (env.robot.qpos, target)]
    return env, env.render(), layers[0], layers[1]


@pytest.mark.parametrize("env_id", BODIES)
def test_robot_and_ghost_are_seen_and_told_apart(env_id, make_env):
    for seed in range(3):
        env, picture, robot, ghost = shown(env_id, make_env, seed)
        assert picture.shape == (480, 480, 3)
        assert picture.dtype == np.uint8
        # The robot is in front, and exactly as it is photographed
        is_robot = robot[..., 3] == 255
        assert np.abs(picture[is_robot].astype(int) - robot[is_robot][:, :3]).max() <= 1
        # Its ghost is fainter, but seen before the floor and the sky; where it stands, nothing else changes
        is_ghost = (ghost[..., 3] == 255) & (robot[..., 3] == 0)
        if is_ghost.sum() < 500:
            continue
        without = env.eye.stage.show(replace(env.camera, width=480, height=480), partial(env.eye._layer, env.robot.qpos))
        change = np.abs(picture.astype(int) - without).max(axis=-1)
        assert np.median(change[is_ghost]) > 15
        own_color = np.median(np.abs(ghost[is_ghost][:, :3].astype(int) - without[is_ghost]).max(axis=-1))
        assert np.median(change[is_ghost]) < 0.6 * own_color
        far = shrink(np.maximum(ghost, robot)[..., 3:], 60, 60)[..., 0] == 0
        assert (shrink(change[..., None].astype(np.uint8), 60, 60)[..., 0][far] == 0).mean() > 0.99


@pytest.mark.parametrize("env_id", BODIES)
def test_what_people_see_is_what_the_robot_sees(env_id, make_env):
    """A saved picture, scaled down, shows the robot where the robot's own picture shows it"""
    env, picture, _, _ = shown(env_id, make_env, 0)
    own = env.photographs(env.robot.qpos, with_coverage=True)
    small = shrink(picture, own.shape[1], own.shape[0])
    is_robot = own[..., 3] == 255
    difference = np.abs(small[is_robot].astype(int) - own[is_robot][:, :3])
    assert difference.mean() < 3
    # The background is light, but no bare white
    assert brightness(picture)[0].min() > 190


@pytest.mark.parametrize("env_id", BODIES)
def test_what_people_see_can_be_saved_and_read(env_id, make_env, tmp_path):
    """As it is, and shown on a wide screen"""
    _, picture, _, _ = shown(env_id, make_env, 1)
    wide = np.zeros((480, 854, 3), np.uint8)
    wide[:, 187:667] = picture
    for name, saved, n_told in (("picture.png", picture, 0), ("wide.png", wide, 1)):
        write_picture(tmp_path / name, saved)
        told: list[str] = []
        np.testing.assert_array_equal(read_full_picture(tmp_path / name, 1.0, told.append), picture)
        assert len(told) == n_told


@pytest.mark.parametrize("direction", [DAYLIGHT.direction, (-0.5, 0.3, 0.8)])
def test_a_shadow_lies_away_from_the_light_and_is_soft(direction):
    stage = Stage(floor=0.0, middle=(0.0, 0.0, 0.3), radius=0.6)
    above = View((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 45.0, 240, 240)
    light = Light(direction)
    floor, lit = (brightness(stage.show(above, layer, light=light)) for layer in (nothing, ball(0.4)))
    drawn = ball(0.4)(above)[..., 3] > 0
    darkening = np.where(drawn, 0.0, np.maximum(floor - lit, 0))
    assert darkening.max() > 50
    rows, columns = np.mgrid[:240, :240] + 0.5
    # The picture's own length of a pixel on the floor
    pixel = 2 * 3.0 * math.tan(math.radians(22.5)) / 240
    x, y = (columns - 120) * pixel, (120 - rows) * pixel
    centre = np.array([(darkening * x).sum(), (darkening * y).sum()]) / darkening.sum()
    np.testing.assert_allclose(centre, -0.4 * np.array(direction[:2]) / direction[2], atol=0.04)
    # From light to dark it takes several pixels
    partly = (darkening > 0.1 * darkening.max()) & (darkening < 0.9 * darkening.max())
    assert partly.sum() > 0.3 * (darkening >= 0.9 * darkening.max()).sum()
    # It has about the ball's own size, and the light's slant makes it longer
    size = (darkening > 0.5 * darkening.max()).sum() * pixel**2
    assert 0.6 < size / (math.pi * 0.1**2) < 2


def painted(view: View, height: float = 0.0) -> np.ndarray:
    """The floor alone"""
    eyes, turns, tangents = camera_arrays([view])
    canvas = np.empty((view.height, view.width, 3))
    unlit = np.zeros((9, 9)), np.eye(3)
    paint_floor(eyes[0], turns[0], tangents[0], height, 0.25, np.zeros(3), 4.0, *unlit, COLORS, canvas)
    return canvas


LOW = View((0.0, -3.0, 0.35), (0.0, 0.0, 0.3), (0.0, 0.0, 1.0), 50.0, 160, 160)


def test_the_floor_has_no_moire_however_far_away():
    """Each pixel is about the mean of very many rays, and a camera that moves a little sees little change"""
    exact = painted(replace(LOW, width=16 * 160, height=16 * 160)).reshape(160, 16, 160, 16, 3).mean(axis=(1, 3))
    floor = painted(LOW)
    contrast = np.abs(COLORS[0] - COLORS[1]).max()
    assert np.abs(floor - exact).mean() < 0.03 * contrast
    assert np.abs(floor - exact).max() < 0.6 * contrast
    # A checker is seen near by
    assert np.ptp(floor[-40:, :, 0]) > 0.9 * contrast
    for shift in (0.002, 0.004):
        x, y, z = LOW.eye
        moved = painted(replace(LOW, eye=(x + shift, y, z), target=(shift, 0.0, 0.3)))
        far = slice(80, 90)
        assert np.abs(moved - floor)[far].max() < 0.1 * contrast


def test_the_floor_fades_into_the_sky():
    floor = painted(LOW)
    steps = np.abs(np.diff(floor, axis=0)).max(axis=(1, 2))
    assert steps[70:82].max() < 2.5, "no edge at the horizon"
    below = painted(replace(LOW, eye=(0.0, -3.0, -0.5)))
    assert np.ptp(below, axis=1).max() < 15, "from below there is no floor"


@pytest.mark.parametrize("body", [REACHER_3D, HUMANOID, OWN, KUKA], ids=["3D", "humanoid", "boxes", "meshes"])
def test_no_pose_reaches_through_the_floor(body):
    body = body if isinstance(body, Body) else Body.from_urdf(body)
    env = pose_env(body, STATE, render_mode="rgb_array")
    env.reset(seed=0)
    env.render()
    stage, rng = env.eye.stage, np.random.default_rng(1)
    lowest = 0.0
    for _ in range(200):
        env.robot.reset(rng.uniform(env.robot.joint_low, env.robot.joint_high))
        lowest = min(lowest, env.robot.link_positions()[:, 2].min(), env.robot.keypoints[:, 2].min())
    assert stage.floor < lowest
    assert stage.floor > lowest - 0.3 * stage.radius, "and the floor is not far below"
    assert stage.post is not None, "whose base is higher stands on something"
    env.close()


def test_who_stands_on_the_floor_needs_no_post():
    env = pose_env("sb3_mimic.envs.bodies.reacher:REACHER_PLANE", STATE, render_mode="rgb_array")
    env.reset(seed=0)
    env.render()
    assert (env.eye.stage.floor, env.eye.stage.post) == (-0.05, None)
    env.close()


@pytest.mark.parametrize("env_id", ["MimicReacher3D-v0", "MimicHumanoid-v0", WALK_ID])
def test_looking_changes_nothing(env_id, make_env):
    """Neither the episode nor the next picture, and the same is seen in another environment"""
    episodes = []
    for n_looks in (0, 2):
        env = make_env(env_id, render_mode="rgb_array")
        env.reset(seed=3)
        env.action_space.seed(0)
        seen, pictures = [], []
        for _ in range(5):
            observation = env.step(env.action_space.sample())[0]
            pictures += [env.render() for _ in range(n_looks)]
            seen.append(np.concatenate([np.ravel(value) for value in observation.values()]))
        episodes.append(np.stack(seen))
        state = env.unwrapped.run_state()["world"]
    np.testing.assert_array_equal(episodes[0], episodes[1])
    np.testing.assert_array_equal(pictures[-2], pictures[-1])
    other = make_env(env_id, render_mode="rgb_array")
    other.reset(seed=9)
    other.unwrapped.restore_run_state(env.unwrapped.run_state())
    np.testing.assert_array_equal(other.render(), pictures[-1])
    assert env.unwrapped.run_state()["world"] == state


def test_looking_at_meshes_changes_nothing():
    episodes, rhythms = [], []
    for looks in (False, True):
        env = pose_env(Body.from_urdf(KUKA), (*STATE, "image"), render_mode="rgb_array")
        env.reset(seed=3)
        if looks:
            picture = env.render()
            assert np.abs(np.diff(brightness(picture), axis=0)).max() > 30, "there is something to see"
        observation = env.step(np.ones(env.action_space.shape, np.float32))[0]
        episodes.append(np.concatenate([np.ravel(value) for value in observation.values()]))
        rhythms.append(env.run_state()["picture_parity"])
        env.close()
    np.testing.assert_array_equal(*episodes)
    assert rhythms[0] == rhythms[1]


def test_the_ghost_follows_the_goal(make_env):
    env = make_env("MimicReacher3D-v0", render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    before = env.render()
    env.ask_for(env.achieved_goal)
    reached = env.render()
    assert (before != reached).any()
    other = make_env("MimicReacher3D-v0", render_mode="rgb_array").unwrapped
    other.reset(seed=0)
    other.ask_for(env.achieved_goal)
    np.testing.assert_array_equal(other.render(), reached)


def test_the_walker_is_drawn_where_it_is(make_env):
    """Standing, and when it has fallen"""
    env = make_env(WALK_ID, render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    walker, model = env.walker, env.walker.model()
    kinematics = Kinematics(model, tuple(JOINTS))
    heights = []
    for has_fallen in (False, True):
        while has_fallen and not env.step(np.full(env.action_space.shape, 0.3, np.float32))[2]:
            pass
        where = kinematics.forward(np.array(walker.qpos), walker.base)
        client, body = env.simulation.client, walker._body
        for index in range(p.getNumJoints(body, physicsClientId=client)):
            name = p.getJointInfo(body, index, physicsClientId=client)[12].decode()
            state = p.getLinkState(body, index, computeForwardKinematics=1, physicsClientId=client)
            np.testing.assert_allclose(where[kinematics.links.index(name), :, 3], state[4], atol=1e-6)
        picture = env.render()
        rows, columns = np.nonzero((picture[..., 0].astype(int) - picture[..., 2]) > 40)
        assert 3000 < len(rows) < 40_000
        # In the middle of the picture, with a margin
        assert min(rows.min(), columns.min(), 479 - rows.max(), 479 - columns.max()) > 40
        heights.append(np.ptp(rows))
    assert heights[1] < 0.8 * heights[0]


def test_rgb_array_list_collects_pictures():
    env = gym.make("MimicReacherPlane-v0", render_mode="rgb_array_list")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    pictures = env.render()
    assert [picture.shape for picture in pictures] == [(480, 480, 3)] * 2
    env.close()
