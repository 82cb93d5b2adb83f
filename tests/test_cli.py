"""The command line: what each command does, writes and refuses."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import gymnasium as gym
import imageio.v3 as iio
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from PIL import Image
from stable_baselines3 import PPO

from sb3_mimic.agents.tables import value_of, write_between_marks
from sb3_mimic.cli.main import main
from sb3_mimic.errors import OutputError
from sb3_mimic.pictures import read_renderer, read_truth, shrink
from sb3_mimic.policies import StatePolicy
from sb3_mimic.runs.shipped import trained_agents_folder
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.files import save_translator

ENV_ID = "MimicReacher3D-v0"


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "pose.png"
    assert main(["photograph", "--env", ENV_ID, "--seed", "1000", "-o", str(path)]) == 0
    return path


def test_missing_pictures_and_folders_are_named(tmp_path, capsys, photograph):
    cases = [
        (["imitate", "--env", ENV_ID, "--image", str(tmp_path / "nowhere.png")], "nowhere.png"),
        (["imitate", "--env", ENV_ID, "--image", str(tmp_path)], "not a file"),
        (["imitate", "--env", ENV_ID, "--image", str(photograph), "-o", str(tmp_path / "x.avi")], ".gif or .mp4"),
        (["imitate", "--env", ENV_ID, "--image", str(photograph), "-o", str(tmp_path / "no" / "x.gif")], "no folder"),
        (["imitate", "--env", ENV_ID, "--image", str(photograph), "-f", str(tmp_path)], "rl_zoo3.train"),
        (["photograph", "--env", ENV_ID, "-o", str(tmp_path / "pose.jpg")], ".png"),
        (["photograph", "--env", "MimicReacher3DState-v0", "-o", str(tmp_path / "pose.png")], "without 'State'"),
        (["evaluate", "--env", ENV_ID, "--episodes", "1", "-o", str(tmp_path / "x.json")], "at least 2"),
        (["photograph", "--env", "MimicReacher3-v0"], "Did you mean MimicReacher3D-v0"),
        (["photograph", "--env", "CartPole-v1"], "PictureGoals"),
        (["imitate", "--env", "Nothing-v0", "--image", str(photograph)], "--gym-packages"),
        (["evaluate", "--env", ENV_ID, "--gym-packages", "no_such_package"], "no_such_package cannot be imported"),
    ]
    for arguments, message in cases:
        capsys.readouterr()
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
    for arguments in (["imitate"], ["evaluate", "--episodes", "0", "--all"], []):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)


def test_photograph_writes_a_picture_with_its_truth(photograph, capsys):
    assert iio.imread(photograph).shape == (64, 64, 3)
    truth = read_truth(photograph, ENV_ID, 9)
    assert list(photograph.parent.iterdir()) == [photograph]
    env = gym.make(ENV_ID)
    observation, _ = env.reset(seed=1000)
    env.close()
    np.testing.assert_array_equal(iio.imread(photograph), observation["desired_image"])
    np.testing.assert_allclose(truth, observation["desired_goal"], rtol=1e-6)


@pytest.mark.parametrize("env_id", [ENV_ID, "MimicReacher3DWild-v0"])
def test_photographs_of_any_size_show_the_same_and_say_what_drew_them(env_id, tmp_path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    for path, size in ((small, []), (large, ["--size", "256"])):
        assert main(["photograph", "--env", env_id, "--seed", "1000", *size, "-o", str(path)]) == 0
    np.testing.assert_array_equal(read_truth(large, env_id, 9), read_truth(small, env_id, 9))
    assert read_renderer(large) == read_renderer(small) == gym.make(env_id).unwrapped.renderer
    picture = iio.imread(large)
    assert picture.shape == (256, 256, 3)
    assert np.abs(shrink(picture, 64, 64).astype(int) - iio.imread(small)).mean() < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", ENV_ID, "--size", "20"], "36 to 1024"),
        (["--env", ENV_ID, "--size", "5000"], "36 to 1024"),
        (["--env", "OwnArm-v0", "--gym-packages", "own_arm", "--size", "256"], "pixels only. Leave out --size 256"),
    ],
)
def test_sizes_that_cannot_be_taken_are_refused(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    assert main(["photograph", *arguments, "-o", str(tmp_path / "pose.png")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "pose.png").exists()


def test_json_of_somebody_else_beside_a_picture_is_left_alone(photograph, tmp_path):
    beside = photograph.with_suffix(".json")
    beside.write_text('{"annotations": []}')
    assert main(["imitate", "--env", ENV_ID, "--image", str(photograph), "-o", str(tmp_path / "x.gif"), "--steps", "2"]) == 0
    assert main(["photograph", "--env", ENV_ID, "-o", str(photograph)]) == 0
    assert beside.read_text() == '{"annotations": []}'


def test_imitate_writes_what_it_does(photograph, tmp_path, capsys):
    output = tmp_path / "out.gif"
    assert main(["imitate", "--env", ENV_ID, "--image", str(photograph), "-o", str(output), "--steps", "9"]) == 0
    # Every second step and the last
    assert iio.imread(output).shape == (5, 480, 960, 3)
    printed = capsys.readouterr()
    assert "estimated pose (deg): shoulder_yaw" in printed.out
    assert "pose taken: joint error" in printed.out
    assert "picture" in printed.err, "progress is shown"


@pytest.mark.slow
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


def test_evaluate_prints_and_writes_every_measure(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sb3_mimic.agents.evaluation.N_READ_POSES", 50)
    output = tmp_path / "measures.json"
    assert main(["evaluate", "--env", "MimicReacherPlane-v0", "--episodes", "4", "-o", str(output)]) == 0
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


@pytest.mark.slow
def test_evaluate_all_measures_every_agent_and_writes_the_table(tmp_path, capfd):
    """A folder with two agents, one of which only sees its goal"""
    env_ids = ["MimicReacherPlane-v0", "MimicReacherPlanePixels-v0"]
    for env_id in env_ids:
        shutil.copytree(trained_agents_folder() / "ppo" / f"{env_id}_1", tmp_path / "ppo" / f"{env_id}_1")
    readme, output = tmp_path / "README.md", tmp_path / "all.json"
    readme.write_text("before\n<!-- measures -->\nold\n<!-- /measures -->\nafter\n")
    command = ["evaluate", "--all", "-f", str(tmp_path), "--episodes", "3", "-o", str(output), "--table", str(readme)]
    assert main([*command, "--workers", "2"]) == 0
    every = json.loads(output.read_text())
    assert [measures["env"] for measures in every] == env_ids
    assert "success_from_image_read_once" in every[0]
    assert "success_from_image" in every[1]
    assert "success_from_image_read_once" not in every[1], "it always acts on a picture"
    text = readme.read_text()
    assert text.startswith("before\n<!-- measures -->\n| ")
    assert text.endswith("|\n<!-- /measures -->\nafter\n")
    for measures in every:
        assert f"| `{measures['env']}` | {value_of(measures, 'success')} |" in text
    assert "old" not in text
    assert "3/3" in capfd.readouterr().err, "progress is shown"


def test_a_table_without_marks_is_refused_and_the_file_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("no marks\n")
    with pytest.raises(OutputError, match=r"exactly once, found 0"):
        write_between_marks(readme, "measures", "| |")
    assert readme.read_text() == "no marks\n"


def test_evaluate_all_without_agents_says_so(tmp_path, capsys):
    assert main(["evaluate", "--all", "-f", str(tmp_path)]) == 2
    assert "no trained agent" in capsys.readouterr().err


@pytest.mark.slow
def test_an_agent_that_only_sees_its_goal_imitates(tmp_path, capsys):
    env_id, picture = "MimicReacherPlanePixels-v0", tmp_path / "pose.png"
    assert main(["photograph", "--env", env_id, "--seed", "4", "-o", str(picture)]) == 0
    command = ["imitate", "--env", env_id, "--image", str(picture), "-o", str(tmp_path / "out.gif")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "estimated pose (deg): shoulder" in printed
    error = float(printed.split("pose taken: joint error ")[1].split()[0])
    assert error < 20


OUTPUTS = [
    ["evaluate", "--env", ENV_ID],
    ["evaluate", "--all"],
    ["photograph", "--env", ENV_ID],
    ["imitate", "--env", ENV_ID, "--image", "none.png"],
    ["export-translator", "--env", ENV_ID],
    ["import-translator", "none.safetensors", "--env", ENV_ID],
    ["tuned", "study", "--storage", "none.log"],
]
SUFFIX = {"photograph": ".png", "imitate": ".gif", "export-translator": ".safetensors", "import-translator": ".zip"}


@pytest.mark.parametrize("command", OUTPUTS, ids=lambda command: f"{command[0]}{command[1]}")
def test_outputs_are_checked_before_any_work(command, tmp_path, capsys, monkeypatch):
    def work(*args, **kwargs):
        raise AssertionError("the output is wrong, and work has begun")

    for name in ("agents.loading.load_agent", "agents.environments.make_env", "tuning.storage.load_study"):
        monkeypatch.setattr(f"sb3_mimic.{name}", work)
    monkeypatch.chdir(tmp_path)
    suffix = SUFFIX.get(command[0], ".json")
    for output, message in ((f"missing/x{suffix}", "no folder missing"), (".", "")):
        assert main([*command, "-o", output]) == 2
        assert message in capsys.readouterr().err
    if command[0] == "evaluate":
        (tmp_path / "README.md").write_text("no marks")
        for table in ("README.md", "none.md"):
            assert main([*command, "--table", table]) == 2
            assert table in capsys.readouterr().err


def test_errors_that_are_nobodys_fault_are_not_hidden(monkeypatch, tmp_path):
    """Only what a user can put right becomes one line"""

    def fail(*args, **kwargs):
        raise ValueError("a fault of ours")

    monkeypatch.setattr("sb3_mimic.runs.folders.find_runs", fail)
    with pytest.raises(ValueError, match="a fault of ours"):
        main(["runs", "-f", str(tmp_path)])


def test_version_is_told(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"sb3-mimic {version('sb3_mimic')}"


class NarrowTranslator(ConvNetTranslator):
    """A user's own: the same with narrower layers"""

    def __init__(self, observation_space, state_dim=None, channels=(4, 4, 8)):
        super().__init__(observation_space, state_dim, channels=channels)

    def get_constructor_parameters(self):
        return {"state_dim": self.state_dim}


def test_a_translator_of_ones_own_is_imported(tmp_path, capsys):
    env_id = "MimicReacherPlane-v0"
    env = gym.make(env_id)
    picture_space = Box(0, 255, (3, 64, 64), np.uint8)
    own = NarrowTranslator(Dict({**env.observation_space.spaces, "image": picture_space}))
    file, output = save_translator(own, tmp_path / "own.safetensors", env.unwrapped.pose_layout), tmp_path / "new.zip"
    picture = env.reset(seed=0)[0]["image"]
    env.close()
    command = ["import-translator", str(file), "--env", env_id, "-o", str(output), "--gym-packages", "test_cli"]
    assert main([*command, "--class", "test_cli.NarrowTranslator"]) == 0
    loaded = PPO.load(output, device="cpu")
    np.testing.assert_array_equal(loaded.policy.translator.predict(picture), own.predict(picture))
    assert type(loaded.policy.translator).__name__ == "NarrowTranslator"
    before = output.read_bytes()
    for name, message in (
        ("test_cli.WideTranslator", "There is no WideTranslator"),
        ("WideTranslator", "package.module.Name"),
        ("test_cli.Path", "no translator"),
        ("sb3_mimic.translator.convnet.ConvNetTranslator", "asks for the class 'NarrowTranslator'"),
    ):
        assert main([*command, "--class", name]) == 2
        assert message in capsys.readouterr().err
    assert main(command) == 2
    assert "NarrowTranslator" in capsys.readouterr().err
    assert output.read_bytes() == before


def test_grey_pictures_are_imitated(tmp_path, capsys):
    """Pictures in colour are shown in grey to a translator that reads grey ones"""
    package = ["--env", "OwnGreyArm-v0", "--gym-packages", "own_arm"]
    own, colour = str(tmp_path / "own.png"), str(tmp_path / "colour.png")
    assert main(["photograph", *package, "--seed", "3", "-o", own]) == 0
    assert main(["photograph", "--env", "OwnArm-v0", *package[2:], "--seed", "3", "-o", colour]) == 0
    assert np.ptp(iio.imread(own).reshape(64, 64, -1), axis=2).max() == 0
    assert np.ptp(iio.imread(colour), axis=2).max() > 0
    run = tmp_path / "ppo" / "OwnGreyArm-v0_1"
    run.mkdir(parents=True)
    env = gym.make("OwnGreyArm-v0", render_mode="rgb_array")
    model = PPO(StatePolicy, env, n_steps=128, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(384, callback=TranslatorCallback(batch_size=32, picture_freq=0)).save(run / "OwnGreyArm-v0.zip")
    env.close()
    assert model.policy.translator.n_channels == 1
    command = ["imitate", *package, "-f", str(tmp_path), "--steps", "4", "-o", str(tmp_path / "out.gif"), "--image"]
    capsys.readouterr()
    assert main([*command, own, colour]) == 0
    told = capsys.readouterr()
    assert (told.out + told.err).count("estimated pose") == 2
    assert (told.out + told.err).count("pose taken: joint error") == 1, "the other is of another id"
    assert iio.imread(tmp_path / "out.gif").shape[1:] == (480, 960, 3)


def test_an_environment_of_ones_own_is_used_from_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sb3_mimic.agents.evaluation.N_READ_POSES", 5)
    package = ["--env", "OwnArm-v0", "--gym-packages", "own_arm"]
    picture, output = str(tmp_path / "pose.png"), str(tmp_path / "out.json")
    assert main(["photograph", *package, "-o", picture]) == 0
    run = tmp_path / "ppo" / "OwnArm-v0_1"
    run.mkdir(parents=True)
    env = gym.make("OwnArm-v0", render_mode="rgb_array")
    PPO(StatePolicy, env, n_steps=8, batch_size=8, device="cpu").save(run / "OwnArm-v0.zip")
    env.close()
    agent = [*package, "-f", str(tmp_path)]
    assert main(["imitate", *agent, "--image", picture, "-o", str(tmp_path / "out.gif"), "--steps", "4"]) == 0
    assert "pose taken: joint error" in capsys.readouterr().out
    assert main(["evaluate", *agent, "--episodes", "2", "-o", output]) == 0
    assert {"success", "success_from_image", "joint_error_deg"} <= json.loads(Path(output).read_text()).keys()
    assert "| joint error, deg |" in capsys.readouterr().out
    assert main(["evaluate", "--all", "-f", str(tmp_path), "--episodes", "2", "-o", output]) == 0
    assert main(["export-translator", *agent, "-o", str(tmp_path / "eye.safetensors")]) == 0
