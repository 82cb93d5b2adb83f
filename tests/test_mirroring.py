"""Robots opposite each other: what a mirror image is, who mirrors whom, and what people see of it."""

import imageio.v2 as imageio
import numpy as np
import pytest

from sb3_mimic.agents import load_agent
from sb3_mimic.agents.driving import AgentMotion
from sb3_mimic.agents.films import motion_of
from sb3_mimic.agents.mirroring import MirrorImage, MirrorReader, Spectator, mirror, mirror_each_other, mirror_errors
from sb3_mimic.cli.main import main
from sb3_mimic.errors import InputError, UnsuitableEnvError

ENV_ID, FPS = "MimicHumanoid-v0", 15


@pytest.fixture(scope="module")
def agent():
    return load_agent(ENV_ID)


@pytest.fixture
def env(make_endless):
    return make_endless(ENV_ID)


@pytest.mark.parametrize("env_id", [ENV_ID, "MimicReacher3D-v0", "MimicReacher6D-v0", "MimicReacherPlane-v0"])
def test_key_points_of_a_mirror_image_are_those_in_a_mirror(env_id, make_env):
    env = make_env(env_id)
    robot, image = env.unwrapped.robot, MirrorImage.of(env)
    names = [keypoint.name for keypoint in robot.body.keypoints]
    others = [names.index(name.replace("left", "*").replace("right", "left").replace("*", "right")) for name in names]
    rng = np.random.default_rng(1)
    for _ in range(5):
        qpos = rng.uniform(robot.joint_low, robot.joint_high)
        mirrored = image(qpos)
        np.testing.assert_allclose(image(mirrored), qpos, err_msg="twice mirrored is as it was")
        there, here = robot.keypoints_of(qpos), robot.keypoints_of(mirrored)[others]
        flips = [there * plane for plane in np.array([(1, -1, 1), (-1, 1, 1)])]
        assert any(np.allclose(here, flip, atol=1e-6) for flip in flips)


def test_who_has_no_mirror_image_is_told(make_env):
    with pytest.raises(UnsuitableEnvError, match="MimicHalfHumanoid-v0 has no mirror image"):
        MirrorImage.of(make_env("MimicHalfHumanoid-v0"))
    with pytest.raises(UnsuitableEnvError, match="photographs"):
        MirrorImage.of(make_env("CartPole-v1"))


def test_what_is_read_is_mirrored(env, agent):
    bare, image = env.unwrapped, MirrorImage.of(env)
    qpos = np.random.default_rng(0).uniform(bare.robot.joint_low, bare.robot.joint_high)
    frame = bare.photographs(qpos)
    pose, reading = MirrorReader(agent, env).read(frame)
    assert np.rad2deg(np.abs(bare.pose_layout.joints(pose) - image(qpos))).max() < 1
    np.testing.assert_array_equal(reading.pose, pose)
    read, nothing = MirrorReader(agent, env, refine=False).read(frame)
    assert nothing is None
    assert np.rad2deg(np.abs(bare.pose_layout.joints(read) - image(qpos))).mean() < 10


def test_a_robot_mirrors_the_one_opposite(env, agent):
    motion = motion_of(env, "random", seed=2)
    moments = list(mirror(agent, env, motion, 2 * FPS, FPS))
    assert len(moments) == 2 * FPS
    for index in (0, 7):
        np.testing.assert_allclose(moments[index].driven, motion.qpos(index / FPS))
        np.testing.assert_array_equal(moments[index].seen, env.unwrapped.photographs(moments[index].driven))
    errors = mirror_errors(env, moments, n_left_out=FPS // 2)
    assert errors["joint_error_deg"] < 5
    assert errors["keypoint_error_cm"] < 5


def test_eyes_that_see_their_goal_mirror_too(make_env):
    env_id = "MimicReacherPlanePixels-v0"
    env = make_env(env_id, max_episode_steps=-1, render_mode="rgb_array")
    env.reset(seed=0)
    moments = list(mirror(load_agent(env_id), env, motion_of(env, "wave", speed=0.3), 2 * FPS, FPS))
    assert mirror_errors(env, moments, n_left_out=FPS)["joint_error_deg"] < 10


def test_an_agent_drives(make_env, agent):
    driving = AgentMotion(agent, make_env(ENV_ID, max_episode_steps=-1, render_mode="rgb_array"), seed=3, seconds=1.0)
    found = driving.qpos(np.array([0.9, 1.0, 1.9]))
    driven = driving._bare.robot
    rng = np.random.default_rng(3)
    first, second = (rng.uniform(driven.joint_low, driven.joint_high) for _ in range(2))
    assert np.rad2deg(np.abs(found[0] - first)).mean() < 3
    assert np.rad2deg(np.abs(found[2] - second)).mean() < 3
    np.testing.assert_array_equal(driving.qpos(1.9), found[2])
    with pytest.raises(InputError, match=r"not back from 1.9 s to 0.5 s"):
        driving.qpos(0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--motion", "sliders"], "there is no display (DISPLAY is not set). Choose another motion."),
        (["--both", "--motion", "agent"], "--both drives none of the robots: leave out --motion agent."),
    ],
)
def test_what_cannot_drive_is_told(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["mirror", "--env", ENV_ID, "-o", str(tmp_path / "out.gif"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_two_robots_mirror_each_other(make_env, agent):
    envs = tuple(make_env(ENV_ID, max_episode_steps=-1, render_mode="rgb_array") for _ in range(2))
    moments = list(mirror_each_other((agent, agent), envs, FPS, FPS))
    assert len(moments) == FPS
    for one, other in moments:
        np.testing.assert_array_equal(one.driven, other.taken)
        np.testing.assert_array_equal(one.taken, other.driven)
    before, after = (mirror_errors(envs[0], [moments[index][0]])["joint_error_deg"] for index in (0, 5))
    assert after < 0.7 * before


def test_people_see_both(env, make_env):
    spectator = Spectator(env)
    low, high = env.unwrapped.robot.joint_low, env.unwrapped.robot.joint_high
    middle = (low + high) / 2
    both = spectator(middle, middle, 200)
    assert both.shape == (200, 200, 3)
    moved = [spectator(low, middle, 200), spectator(middle, low, 200)]
    places = [np.argwhere((picture != both).any(axis=2))[:, 1].mean() for picture in moved]
    assert places[0] < 90, "the one on the left"
    assert places[1] > 110


def test_a_robot_of_meshes_is_told(make_env):
    env = make_env("MimicReach-v0", model="mesh")
    with pytest.raises(UnsuitableEnvError, match="MimicReach-v0 is drawn by PyBullet"):
        Spectator(env)


@pytest.mark.parametrize("how", [[], ["--both"]])
def test_on_the_command_line(how, tmp_path, capsys):
    out = tmp_path / "mirror.gif"
    assert main(["mirror", "--env", "MimicReacher3D-v0", "--seconds", "0.4", "--fps", "15", *how, "-o", str(out)]) == 0
    assert "Apart from the mirror image: joint error, deg" in capsys.readouterr().out
    frames = imageio.mimread(out)
    assert len(frames) == 6
    assert frames[0].shape[:2] == (480, 960)
