"""The command line, and pictures of every kind, hostile ones too."""

import io
import json
import shutil
import struct
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from sb3_mimic.agents.tables import value_of, write_between_marks
from sb3_mimic.cli.main import main
from sb3_mimic.errors import NoTranslatorError, PictureError
from sb3_mimic.pictures import files as pictures
from sb3_mimic.runs.shipped import trained_agents_folder

ENV_ID = "MimicReacher3D-v0"


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "pose.png"
    assert main(["photograph", "--env", ENV_ID, "--seed", "1000", "-o", str(path)]) == 0
    return path


def png_header_only(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be large"""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(picture: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


GOOD_PNG = encoded(Image.new("RGB", (64, 64), "red"), "PNG")
HOSTILE = {
    "text.png": (b"this is no picture", "no PNG or JPEG"),
    "empty.png": (b"", "no PNG or JPEG"),
    "gif.png": (encoded(Image.new("RGB", (64, 64)), "GIF"), "no PNG or JPEG"),
    "bmp.jpg": (encoded(Image.new("RGB", (64, 64)), "BMP"), "no PNG or JPEG"),
    "truncated.png": (GOOD_PNG[: len(GOOD_PNG) // 2], "truncated"),
    "truncated.jpg": (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:700], "truncated"),
    "huge.png": (png_header_only(13000, 13000), "pixels"),
    "bomb.png": (png_header_only(100_000, 100_000), "too many pixels"),
    "hollow.png": (png_header_only(64, 64), "truncated"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_give_one_clear_error(name, tmp_path, capsys):
    content, message = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert main(["imitate", "--env", ENV_ID, "--image", str(path), "-o", str(tmp_path / "out.gif")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert message in error[0]
    assert name in error[0]
    assert not (tmp_path / "out.gif").exists()


def test_missing_pictures_and_folders_are_named(tmp_path, capsys, photograph):
    cases = [
        (["imitate", "--env", ENV_ID, "--image", str(tmp_path / "nowhere.png")], "nowhere.png"),
        (["imitate", "--env", ENV_ID, "--image", str(tmp_path)], "not a file"),
        (["imitate", "--env", ENV_ID, "--image", str(photograph), "-o", str(tmp_path / "x.avi")], ".gif or .mp4"),
        (["imitate", "--env", ENV_ID, "--image", str(photograph), "-o", str(tmp_path / "no" / "x.gif")], "no folder"),
        (["imitate", "--env", ENV_ID, "--image", str(photograph), "-f", str(tmp_path)], "rl_zoo3.train"),
        (["photograph", "--env", ENV_ID, "-o", str(tmp_path / "pose.jpg")], ".png"),
        (["photograph", "--env", "MimicReacher3DState-v0", "-o", str(tmp_path / "pose.png")], "without 'State'"),
        (["evaluate", "--env", ENV_ID, "--episodes", "1"], "at least 2"),
    ]
    for arguments, message in cases:
        capsys.readouterr()
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
    for arguments in (["imitate"], ["photograph", "--env", "Nothing-v0"], []):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)


def test_too_large_a_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    path.write_bytes(GOOD_PNG)
    monkeypatch.setattr(pictures, "MAX_BYTES", 10)
    with pytest.raises(PictureError, match="MiB"):
        pictures.read_picture(path, 64, 64)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA", "1", "I;16"])
def test_pictures_of_every_mode_are_read(mode, tmp_path):
    path = tmp_path / "picture.png"
    Image.new("L", (64, 64), 200).convert(mode if mode != "I;16" else "I").convert(mode).save(path)
    assert pictures.read_picture(path, 64, 64).shape == (64, 64, 3)


def test_transparency_becomes_white_and_other_sizes_are_fitted(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(path)
    assert (pictures.read_picture(path, 64, 64) == 255).all()
    Image.new("RGB", (200, 100), "blue").save(path)
    fitted = pictures.read_picture(path, 64, 64)
    assert (fitted[32, 32] == (0, 0, 255)).all()
    assert (fitted[0, 32] == 255).all(), "the shape is kept: what is missing is white"


def test_exif_orientation_is_honoured(tmp_path):
    path = tmp_path / "picture.jpg"
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste("black", (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    picture.save(path, exif=exif, quality=95)
    read = pictures.read_picture(path, 64, 64)
    assert read[:20].mean() > 200 > 50 > read[-20:].mean()


def test_photograph_writes_picture_and_truth(photograph):
    truth = json.loads(photograph.with_suffix(".json").read_text())
    assert truth["env"] == ENV_ID
    assert len(truth["pose"]) == 9
    assert set(truth["joints_deg"]) == {"shoulder_yaw", "shoulder_pitch", "elbow"}
    assert iio.imread(photograph).shape == (64, 64, 3)
    np.testing.assert_allclose(pictures.read_truth(photograph, ENV_ID, 9), truth["pose"], rtol=1e-6)
    assert pictures.read_truth(photograph, "MimicReacherPlane-v0", 8) is None


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"env": "MimicReacher3D-v0"}', '{"env": "MimicReacher3D-v0", "pose": [1, 2]}']
)
def test_a_damaged_truth_is_named(content, photograph, capsys):
    photograph.with_suffix(".json").write_text(content)
    assert main(["imitate", "--env", ENV_ID, "--image", str(photograph)]) == 2
    assert "pose.json" in capsys.readouterr().err


# imageio's reader of MP4 leaves its pipes to the garbage collector
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_imitate_takes_the_poses_of_the_shipped_agent(suffix, photograph, tmp_path, capsys):
    second = tmp_path / "second.png"
    main(["photograph", "--env", ENV_ID, "--seed", "1001", "-o", str(second)])
    large = tmp_path / "large.jpg"
    Image.open(second).resize((500, 500), Image.Resampling.NEAREST).save(large, quality=95)
    output = tmp_path / f"out{suffix}"
    images = [str(photograph), str(second), str(large)]
    assert main(["imitate", "--env", ENV_ID, "--image", *images, "-o", str(output), "--steps", "60"]) == 0
    frames = iio.imread(output)
    assert frames.shape[1:] == (480, 960, 3)
    # 60 steps, every second one and the last, three times
    assert len(frames) >= 80
    printed = capsys.readouterr()
    errors = [float(line.split("key-point error")[1].split()[0]) for line in printed.out.splitlines() if "taken" in line]
    assert len(errors) == 2, "beside the third picture lies no truth"
    assert max(errors) < 8
    assert "picture" in printed.err, "progress is shown"


def test_evaluate_prints_and_writes_every_measure(tmp_path, capsys):
    output = tmp_path / "measures.json"
    assert main(["evaluate", "--env", "MimicReacherPlane-v0", "--episodes", "5", "-o", str(output)]) == 0
    measures = json.loads(output.read_text())
    printed = capsys.readouterr().out
    for name in (
        "success", "success_2cm", "held", "success_from_image", "joint_error_deg", "keypoint_error_cm",
        "translator_joint_error_deg", "translator_keypoint_error_cm", "decision_ms",
    ):  # fmt: skip
        low, high = measures[name]["interval"]
        assert low <= measures[name]["value"] <= high
        assert value_of(measures, name) in printed
    assert measures["success"]["value"] >= 0.6
    state_only = tmp_path / "state.json"
    assert main(["evaluate", "--env", "MimicReacherPlane-v0", "--exp-id", "77"]) == 2
    assert not state_only.exists()


def test_damaged_agents_are_named(tmp_path, capsys, photograph):
    run = tmp_path / "ppo" / f"{ENV_ID}_1"
    shutil.copytree(trained_agents_folder() / "ppo" / f"{ENV_ID}_1", run)
    arguments = ["imitate", "--env", ENV_ID, "--image", str(photograph), "-f", str(tmp_path)]
    whole = (run / f"{ENV_ID}.zip").read_bytes()
    (run / f"{ENV_ID}.zip").write_bytes(whole[: len(whole) // 2])
    assert main(arguments) == 2
    assert "may be truncated" in capsys.readouterr().err
    (run / f"{ENV_ID}.zip").write_bytes(whole)
    (run / ENV_ID / "vecnormalize.pkl").unlink()
    assert main(arguments) == 2
    assert "statistics are missing" in capsys.readouterr().err


def test_an_agent_without_translator_cannot_imitate(make_env):
    from stable_baselines3 import PPO

    from sb3_mimic.agents.loading import Agent

    model = PPO("MultiInputPolicy", make_env("MimicReacherPlaneState-v0"), device="cpu")
    with pytest.raises(NoTranslatorError, match="id with pictures"):
        _ = Agent(model).translator


def test_evaluate_all_measures_every_agent_and_writes_the_table(tmp_path, capsys):
    """A folder with two agents, one of which only sees its goal"""
    env_ids = ["MimicReacherPlane-v0", "MimicReacherPlanePixels-v0"]
    for env_id in env_ids:
        shutil.copytree(trained_agents_folder() / "ppo" / f"{env_id}_1", tmp_path / "ppo" / f"{env_id}_1")
    readme, output = tmp_path / "README.md", tmp_path / "all.json"
    readme.write_text("before\n<!-- measures -->\nold\n<!-- /measures -->\nafter\n")
    command = ["evaluate", "--all", "-f", str(tmp_path), "--episodes", "3", "-o", str(output), "--table", str(readme)]
    assert main(command) == 0
    every = json.loads(output.read_text())
    assert [measures["env"] for measures in every] == env_ids
    assert "success_from_image" in every[0]
    assert "success_from_image" not in every[1], "it never acts on anything but a picture"
    text = readme.read_text()
    assert text.startswith("before\n<!-- measures -->\n| ")
    assert text.endswith("|\n<!-- /measures -->\nafter\n")
    for measures in every:
        assert f"| `{measures['env']}` | {value_of(measures, 'success')} |" in text
    assert "old" not in text
    assert "3/3" in capsys.readouterr().err, "progress is shown"


def test_a_table_without_marks_is_refused_and_the_file_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("no marks\n")
    with pytest.raises(ValueError, match=r"exactly once, found 0"):
        write_between_marks(readme, "measures", "| |")
    assert readme.read_text() == "no marks\n"


def test_evaluate_all_without_agents_says_so(tmp_path, capsys):
    assert main(["evaluate", "--all", "-f", str(tmp_path)]) == 2
    assert "no trained agent" in capsys.readouterr().err


def test_an_agent_that_only_sees_its_goal_imitates(tmp_path, capsys):
    env_id, picture = "MimicReacherPlanePixels-v0", tmp_path / "pose.png"
    assert main(["photograph", "--env", env_id, "--seed", "4", "-o", str(picture)]) == 0
    command = ["imitate", "--env", env_id, "--image", str(picture), "-o", str(tmp_path / "out.gif")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "estimated pose (deg): shoulder" in printed
    error = float(printed.split("pose taken: joint error ")[1].split()[0])
    assert error < 20
