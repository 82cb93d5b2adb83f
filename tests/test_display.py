"""Windows: where there is no display, mode "human" says so once, and shows nothing."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import gymnasium as gym
import numpy as np
import pytest

from sb3_mimic.envs.registration import WALK_ID
from sb3_mimic.envs.world import display
from sb3_mimic.errors import WindowError

IDS = ("MimicReacherPlane-v0", WALK_ID)


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"):
        monkeypatch.delenv(name, raising=False)
    display._why_not_this.cache_clear()


def nobody_listens() -> int:
    """Number of a display whose port nobody has"""
    for number in range(77, 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", display.FIRST_PORT + number))
            return number
    raise AssertionError("every port is taken")


def assert_shows_nothing(make_env, reason: str) -> None:
    """No hang, no end of the process: one warning for an environment that works"""
    for env_id in IDS:
        with pytest.warns(UserWarning, match=reason) as record:
            env = make_env(env_id, render_mode="human")
        assert len(record) == 1
        # From here on a warning would be an error
        env.reset(seed=0)
        env.step(np.zeros(env.action_space.shape, np.float32))
        assert env.render() is None


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "DISPLAY is not set"),
        ({"DISPLAY": ""}, "DISPLAY is not set"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "WAYLAND_DISPLAY alone is no X server"),
        ({"DISPLAY": ":DEAD"}, "no X server is there"),
        ({"DISPLAY": "unix:DEAD.0"}, "no X server is there"),
        ({"DISPLAY": "localhost:DEAD"}, "no window can be opened there"),
        # An address that is reserved for documentation
        ({"DISPLAY": "192.0.2.1:0"}, "no window can be opened there"),
        ({"DISPLAY": "host.invalid:0.0"}, "no window can be opened there"),
        ({"DISPLAY": "nonsense"}, "names no X server"),
        ({"DISPLAY": ":zero"}, "names no X server"),
        ({"DISPLAY": ":99999"}, "names no X server"),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_human_mode_without_a_display(variables, reason, make_env, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("DEAD", str(nobody_listens())))
    assert_shows_nothing(make_env, reason)


@pytest.mark.parametrize(("answers", "reason"), [(True, "no window can be opened"), (False, "does not answer")])
def test_whoever_listens_may_be_no_use(answers, reason, make_env, monkeypatch):
    """A server that hangs up, as on strangers, and one that never says a word"""
    monkeypatch.setattr(display, "WINDOW_TIMEOUT", 3.0 if not answers else 20.0)
    number = nobody_listens()
    kept = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                if answers:
                    connection.close()
                else:
                    kept.append(connection)

    with socket.create_server(("127.0.0.1", display.FIRST_PORT + number)) as server:
        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setenv("DISPLAY", f"localhost:{number}")
        assert_shows_nothing(make_env, reason)
    for connection in kept:
        connection.close()


def test_a_display_is_tried_once(monkeypatch):
    monkeypatch.setenv("DISPLAY", f"localhost:{nobody_listens()}")
    reason = display.why_no_display()
    monkeypatch.setattr(subprocess, "run", None)
    assert display.why_no_display() == reason


def test_a_second_window_is_told_and_not_raised(make_env, monkeypatch):
    """PyBullet opens one in a process"""
    monkeypatch.setattr(display, "why_no_display", lambda: "")

    def fail(*arguments, **kwargs):
        raise WindowError("there is one already")

    env = make_env(IDS[0], render_mode="human")
    monkeypatch.setattr(type(env.unwrapped), "_open_window", fail)
    with pytest.warns(UserWarning, match="there is one already"):
        env.reset(seed=0)
    env.step(env.action_space.sample())


@pytest.fixture
def run_on_display():
    """Runs code in another process, which has a display"""
    number = nobody_listens()
    server = subprocess.Popen(
        ["Xvfb", f":{number}", "-screen", "0", "640x480x24"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while not display._has_local_server(number):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    def run(code: str, said: str) -> None:
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "DISPLAY": f":{number}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert said in result.stdout, result.stdout + result.stderr
        # Whoever leaves takes the window along
        assert result.returncode == 0

    yield run
    server.terminate()
    server.wait()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_real_display_shows_every_environment(run_on_display):
    code = """
import copy, warnings
warnings.simplefilter("error")
import gymnasium as gym, sb3_mimic
for env_id in ("MimicReacherPlane-v0", "MimicHumanoidWalk-v0"):
    env = gym.make(env_id, render_mode="human")
    for _ in range(2):
        env.reset(seed=0)
        env.step(env.action_space.sample())
        assert env.unwrapped._window is not None
        env.close()
        assert env.unwrapped._window is None
env.reset(seed=0)
with warnings.catch_warnings(record=True) as record:
    warnings.simplefilter("always")
    copy.deepcopy(env).step(env.action_space.sample())
assert "one window in a process" in str(record[0].message)
print("shown", flush=True)
"""
    run_on_display(code, "shown")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_sliders_drive_the_robot_that_is_mirrored(run_on_display):
    code = """
import time
import gymnasium as gym, numpy as np, pybullet as p, sb3_mimic
from sb3_mimic.agents import load_agent
from sb3_mimic.agents.driving import SliderMotion
from sb3_mimic.agents.mirroring import MirrorImage, mirror
from sb3_mimic.errors import WindowError
env = gym.make("MimicReacher3D-v0", max_episode_steps=-1, render_mode="rgb_array")
env.reset(seed=0)
motion = SliderMotion(env)
window, joint = motion._window, [20.0, 30.0, 40.0]
# Nobody is there to draw them
assert len(window.qpos()) == 3 and not window.qpos().any()
window.qpos = lambda: np.deg2rad(joint)
start = time.monotonic()
for moment in mirror(load_agent("MimicReacher3D-v0"), env, motion, n_frames=10, fps=10):
    motion.show(moment.driven, moment.taken)
assert time.monotonic() - start > 0.5
np.testing.assert_allclose(np.rad2deg(moment.driven), joint)
np.testing.assert_allclose(window._posed.qpos, moment.driven)
np.testing.assert_allclose(window._opposite.qpos, moment.taken)
assert np.abs(np.rad2deg(moment.taken - MirrorImage.of(env)(moment.driven))).max() < 5
del window.qpos
motion.close()
try:
    motion.qpos(0.0)
except WindowError as error:
    print(error, flush=True)
"""
    run_on_display(code, "The window was closed")


def test_the_viewer_shows_robot_and_target():
    """The window itself needs a display; what is in it does not"""
    from sb3_mimic.envs.sight.camera import Camera
    from sb3_mimic.envs.viewer import RobotViewer

    env = gym.make("MimicReacher3D-v0").unwrapped
    env.reset(seed=0)
    viewer = RobotViewer(env.robot, env.camera, gui=False)
    camera = Camera(env.camera.eye, env.camera.target, env.camera.up, env.camera.fov, 128, 128)
    target = env.robot.qpos + 0.5
    viewer.show(env.robot.qpos, env.robot.qpos)
    together = camera.render(viewer._simulation)
    viewer.show(env.robot.qpos, target)
    apart = camera.render(viewer._simulation)
    assert (apart < 250).any(axis=-1).sum() > (together < 250).any(axis=-1).sum()
    viewer.close()
    env.close()
