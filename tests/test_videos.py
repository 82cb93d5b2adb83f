"""Videos: filmed, read from files that cannot be trusted, and followed by a robot."""

import csv
import json

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from sb3_mimic import keys
from sb3_mimic.agents import load_agent
from sb3_mimic.agents.films import Script, film, motion_of, read_table, write_table
from sb3_mimic.agents.following import VideoReader, follow_video, tracking_errors
from sb3_mimic.agents.refinement import Tracker
from sb3_mimic.cli.main import main
from sb3_mimic.errors import InputError, PackageError, PictureError, UnreadablePictureError, UnsuitableEnvError
from sb3_mimic.pictures import write_picture
from sb3_mimic.pictures.animation import write_animation
from sb3_mimic.pictures.spoilt_videos import corrupt_video
from sb3_mimic.pictures.videos import USUAL_FPS, open_video

# Imageio leaves the closing of its pipes to ffmpeg to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

ENV_ID, FPS = "MimicReacher3D-v0", 30


@pytest.fixture(scope="module")
def agent():
    return load_agent(ENV_ID)


@pytest.fixture
def env(make_endless):
    return make_endless(ENV_ID)


@pytest.fixture
def clip(env):
    """A second of a natural motion: joint positions and frames"""
    motion = motion_of(env, "random", seed=3)
    qpos, frames = zip(*film(env, motion, FPS, FPS), strict=True)
    return np.array(qpos), np.array(frames)


def colours(n=6, size=(48, 64)):
    """Frames that differ, of plain colours"""
    return [np.full((*size, 3), (8 * index, 255 - 8 * index, 90), np.uint8) for index in range(n)]


def test_films_gifs_and_folders_are_read_frame_by_frame(tmp_path):
    frames = colours(8)
    write_animation(tmp_path / "clip.mp4", frames, 25)
    write_animation(tmp_path / "clip.gif", frames, 20)
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(frames):
        write_picture(folder / f"frame{index}.png", frame)
    for source, fps, atol in (("clip.mp4", 25, 12), ("clip.gif", 20, 4), ("frames", USUAL_FPS, 0)):
        video = open_video(tmp_path / source)
        assert video.fps == pytest.approx(fps)
        assert video.n_frames == len(frames)
        for _ in range(2):
            read = list(video)
            assert len(read) == len(frames)
            for one, other in zip(read, frames, strict=True):
                np.testing.assert_allclose(one.astype(int), other.astype(int), atol=atol)
    assert open_video(folder, fps=7.5).fps == 7.5


def test_large_frames_are_made_smaller_and_transparent_ones_white(tmp_path):
    see_through = [Image.new("RGBA", (40, 40), (index, 0, 0, 0)) for index in (0, 255)]
    see_through[0].save(tmp_path / "clip.gif", save_all=True, append_images=see_through[1:], duration=0, transparency=0)
    video = open_video(tmp_path / "clip.gif")
    assert video.fps == 10, "that of a GIF that says nothing"
    assert next(iter(video)).min() == 255
    folder = tmp_path / "frames"
    folder.mkdir()
    write_picture(folder / "large.png", np.zeros((1500, 750, 3), np.uint8))
    assert next(iter(open_video(folder))).shape == (1024, 512, 3)


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "text.gif").write_text("no film")
    write_animation(tmp_path / "whole.mp4", colours(30), 25)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:600])
    for name, says in {
        "missing.mp4": "no video",
        "empty": "no PNG or JPEG",
        "text.mp4": "cannot be decoded",
        "text.gif": "cannot be decoded",
        "cut.mp4": "cannot be decoded",
    }.items():
        with pytest.raises(PictureError, match=says):
            list(open_video(tmp_path / name))
    write_table(tmp_path / "table.csv", ["time_s"], [[0.0]])
    with pytest.raises(PictureError, match=r"\.mp4"):
        open_video(tmp_path / "table.csv")
    for fps in (0, -1, np.nan, 1e9):
        with pytest.raises(PictureError, match="frames per second"):
            open_video(tmp_path / "whole.mp4", fps)


def test_a_camera_is_read_where_there_is_opencv(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(PackageError, match="opencv-python-headless"):
        open_video(0)

    class Camera:
        left = 3

        def __init__(self, number):
            self.number = number

        def isOpened(self):  # noqa: N802 - OpenCV's name
            return self.number == 0

        def get(self, what):
            return 15.0

        def read(self):
            Camera.left -= 1
            return (True, np.full((8, 8, 3), (1, 2, 3), np.uint8)) if Camera.left >= 0 else (False, None)

        def release(self):
            pass

    monkeypatch.setitem(__import__("sys").modules, "cv2", type("cv2", (), {"VideoCapture": Camera}))
    video = open_video(0)
    assert video.fps == 15
    frames = list(video)
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[0][0, 0], [3, 2, 1])
    with pytest.raises(PictureError, match="no camera 5"):
        open_video(5)


def test_tables_come_back_and_others_are_refused(tmp_path, env):
    names = env.unwrapped.joint_names
    columns, rows = ["time_s", *(f"{name}_deg" for name in names)], [[0.0, 10, 20, 30], [0.5, 40, 50, 60]]
    write_table(tmp_path / "a.csv", columns, rows)
    times, places = read_table(tmp_path / "a.csv", names)
    np.testing.assert_allclose(np.rad2deg(places), [row[1:] for row in rows])
    script = Script(times, places)
    np.testing.assert_allclose(np.rad2deg(script.qpos(0.25)), [25, 35, 45])
    np.testing.assert_allclose(script.qpos(np.array([-1.0, 9.0])), places)
    write_table(tmp_path / "a.json", columns, rows)
    assert json.loads((tmp_path / "a.json").read_text())["time_s"] == [0.0, 0.5]
    for text, says in {
        "time_s,elbow_deg\n0,1\n": "no column",
        "no_time\n1\n": "no column 'time_s'",
        ",".join(columns) + "\n0,a,2,3\n": "no table of numbers",
        ",".join(columns) + "\n0,1,2\n": "no table of numbers",
        ",".join(columns) + "\n1,1,2,3\n0,1,2,3\n": "rise",
        ",".join(columns) + "\n0,nan,2,3\n": "finite",
    }.items():
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(InputError, match=says):
            read_table(tmp_path / "bad.csv", names)
    with pytest.raises(InputError, match="no table"):
        read_table(tmp_path / "missing.csv", names)


def test_motions_of_a_robot_are_filmed_as_they_are(env, tmp_path, make_env):
    for how in ("random", "wave", "circle"):
        found = list(film(env, motion_of(env, how), 20, FPS, height=96))
        assert all(frame.shape == (96, 96, 3) for _, frame in found)
        qpos, frame = found[17]
        still = Script(np.array([0.0, 1.0]), np.array([qpos, qpos]))
        np.testing.assert_array_equal(frame, next(film(env, still, 1, FPS, height=96))[1])
    with pytest.raises(InputError, match="random, wave, circle"):
        motion_of(env, "dance")
    names = env.unwrapped.joint_names
    write_table(tmp_path / "far.csv", ["time_s", *(f"{name}_deg" for name in names)], [[0.0, 0, 0, 0], [1.0, 400, 0, 0]])
    with pytest.raises(InputError, match=r"shoulder_yaw is at 6\.981"):
        motion_of(env, tmp_path / "far.csv")
    with pytest.raises(UnsuitableEnvError, match="photographs"):
        motion_of(gym.make("CartPole-v1"), "wave")


def test_a_tracker_reads_as_exactly_as_single_pictures_and_finds_back(env, agent, clip):
    qpos, frames = clip
    tracker, errors = Tracker(env), []
    for index, (frame, true) in enumerate(zip(frames, qpos, strict=True)):
        if index == 10:
            # As if the film had been cut: nothing leads there
            frame, true = frames[-1], qpos[-1]
        reading = tracker.read(frame, *agent.translator.predict_with_scales(frame))
        assert reading.is_readable
        errors.append(np.rad2deg(np.abs(reading.qpos - true)))
    assert np.median(errors) < 0.1
    assert np.max(errors) < 3
    with pytest.raises(InputError, match="height, width, 3"):
        tracker.read(frames[0][..., 0], np.zeros(9))


def test_a_robot_follows_a_video(env, agent, clip):
    qpos, frames = clip
    shown = []
    followed = list(follow_video(agent, env, iter(frames), FPS, on_frame=shown.append))
    assert [each.index for each in followed] == list(range(FPS))
    assert len(shown) == FPS
    assert shown[0].shape == (480, 960, 3)
    true = [env.unwrapped.pose_of(one) for one in qpos]
    errors = tracking_errors(env, followed, true)
    assert errors["joint_error_deg"] < 3
    assert errors["keypoint_error_cm"] < 3
    assert abs(errors["lag_ms"]) < 50
    late = list(follow_video(agent, env, iter(frames), FPS, lead=-0.1))
    assert tracking_errors(env, late, true)["lag_ms"] > 60


def test_frames_of_other_things_are_passed_over_but_the_first_must_be_readable(env, agent, clip):
    frames = list(clip[1][:8])
    rng = np.random.default_rng(0)
    frames[4] = rng.integers(0, 255, frames[4].shape, np.uint8)
    followed = list(follow_video(agent, env, frames, FPS))
    assert [each.is_readable for each in followed] == [index != 4 for index in range(8)]
    np.testing.assert_array_equal(followed[4].read, followed[3].read)
    with pytest.raises(UnreadablePictureError, match=f"first frame does not look like a picture of {ENV_ID}"):
        list(follow_video(agent, env, frames[4:], FPS))
    assert len(list(follow_video(agent, env, frames[4:], FPS, force=True))) == 4
    for how in ({"fps": 0}, {"fps": FPS, "lead": np.inf}):
        with pytest.raises(InputError, match="fps must be positive"):
            list(follow_video(agent, env, frames, **how))


def test_a_reader_hands_on_what_its_translator_remembers(env, agent, clip, monkeypatch):
    given = []

    def read_next(image, hidden=None):
        given.append(hidden)
        return agent.translator.predict(image), None, len(given)

    monkeypatch.setattr(agent.translator, "read_next", read_next)
    reader = VideoReader(agent, env, refine=False)
    for frame in clip[1][:3]:
        pose, reading = reader.read(frame)
        assert reading is None
        assert pose.shape == env.unwrapped.desired_goal.shape
    assert given == [None, 1, 2]


def test_spoilt_videos_are_followed_too(env, agent, clip):
    qpos, frames = clip
    followed = list(follow_video(agent, env, corrupt_video(frames, "dropped frames", 0), FPS))
    true = [env.unwrapped.pose_of(one) for one in qpos]
    assert tracking_errors(env, followed, true)["joint_error_deg"] < 6


def test_on_the_command_line(tmp_path, capsys):
    clip, out = tmp_path / "clip.mp4", tmp_path / "out.gif"
    assert main(["film", "--env", ENV_ID, "--seconds", "0.5", "--seed", "1", "-o", str(clip)]) == 0
    assert "clip.csv" in capsys.readouterr().out
    assert main(["imitate", "--env", ENV_ID, "--video", str(clip), "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert "15 frames, against the truth beside the video: joint error, deg" in told
    assert len(imageio.mimread(out)) == 15
    with (tmp_path / "out-poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert {"time_s", "read_elbow_deg", "taken_elbow_deg"} <= rows[0].keys()
    # A table is a script, too
    again = tmp_path / "again.gif"
    assert main(["film", "--env", ENV_ID, "--motion", str(tmp_path / "clip.csv"), "--seconds", "0.2", "-o", str(again)]) == 0
    for wrong, says in (
        (["film", "--env", ENV_ID, "--seconds", "0", "-o", str(clip)], "longer than a frame"),
        (["film", "--env", ENV_ID, "--motion", str(tmp_path / "clip.csv"), "-o", str(clip)], "written over"),
        (["film", "--env", ENV_ID, "--size", "7", "-o", str(clip)], "36 to 1024"),
        (["imitate", "--env", ENV_ID, "--video", str(tmp_path / "none.mp4"), "-o", str(out)], "no video"),
        (["imitate", "--env", ENV_ID, "--video", str(clip), "--poses", "a.txt", "-o", str(out)], ".csv or .json"),
    ):
        assert main(wrong) == 2
        assert says in capsys.readouterr().err


def test_goals_that_are_pictures_alone_are_followed(make_env, clip):
    env_id = "MimicReacher3DFused-v0"
    env = make_env(env_id, max_episode_steps=-1, render_mode="rgb_array")
    qpos, frames = clip
    followed = list(follow_video(load_agent(env_id), env, frames, FPS))
    true = [env.unwrapped.pose_of(one) for one in qpos]
    assert tracking_errors(env, followed, true)["joint_error_deg"] < 10
    assert keys.DESIRED_GOAL not in env.observation_space.spaces
