"""Files from strangers: what each of our loaders makes of one that tries to run code."""

import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch as th
import yaml

from sb3_mimic.checkpoints.state_file import read_state
from sb3_mimic.errors import DamagedAgentError, PictureError, PublishingError, RunStateError, TranslatorFileError
from sb3_mimic.hub.upload import stage
from sb3_mimic.pictures import read_picture, read_truth
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters
from sb3_mimic.translator.files import load_translator, read_translator_file
from sb3_mimic.zoo.entries import read_entries

ENV_ID = "MimicReacherPlane-v0"


class Payload:
    """Runs a command of its own when it is unpickled"""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def payloads(marker: Path) -> dict[str, bytes]:
    """Files that create the marker where they are read without care, by what they are"""
    payload = Payload(marker)
    saved, objects, array = io.BytesIO(), io.BytesIO(), io.BytesIO()
    th.save(payload, saved)
    np.savez(objects, allow_pickle=True, images=np.array([payload]), states=np.array([payload]))
    np.save(array, np.array([payload]), allow_pickle=True)
    pickled = pickle.dumps(payload)
    return {
        "pickle": pickled,
        "old pickle": pickle.dumps(payload, protocol=0),
        "torch": saved.getvalue(),
        "npz": objects.getvalue(),
        "npy": array.getvalue(),
        "sb3": zipped(data=pickled, **{"policy.pth": saved.getvalue()}),
        "yaml": f"!!python/object/apply:os.mkdir ['{marker}']\n".encode(),
        "python": f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n".encode(),
        # Before each stands what the format itself begins with
        "png": b"\x89PNG\r\n\x1a\n" + pickled,
        "jpeg": b"\xff\xd8\xff\xe0" + pickled,
        "json": b'{"env": "' + ENV_ID.encode() + b'", "pose": "' + pickled.hex().encode() + b'"}',
        "safetensors": len(pickled).to_bytes(8, "little") + pickled,
    }


KINDS = tuple(payloads(Path("marker")))
UNSAFE = {
    "pickle": pickle.loads,
    "old pickle": pickle.loads,
    "torch": lambda content: th.load(io.BytesIO(content), weights_only=False),
    "npz": lambda content: np.load(io.BytesIO(content), allow_pickle=True)["images"],
    "npy": lambda content: np.load(io.BytesIO(content), allow_pickle=True),
    "yaml": lambda content: yaml.load(content, Loader=yaml.UnsafeLoader),
    "python": exec,
}


@pytest.fixture
def marker(tmp_path) -> Path:
    return tmp_path / "marker"


@pytest.mark.parametrize("kind", UNSAFE)
def test_the_payloads_are_real(kind, marker):
    UNSAFE[kind](payloads(marker)[kind])
    assert marker.exists()


def read_truth_of(path: Path) -> None:
    """It is nobody else's file that stands beside a picture"""
    assert read_truth(path.with_suffix(".png"), ENV_ID, 8) is None


def measures_of(path: Path) -> None:
    """As ``sb3-mimic push`` reads them, of a run whose own files are in order"""
    run = path.parent / "run"
    (run / ENV_ID).mkdir(parents=True)
    arguments = {"algo": "ppo", "conf_file": None, "n_timesteps": -1, "trained_agent": ""}
    (run / ENV_ID / "args.yml").write_text(yaml.safe_dump(arguments))
    stage(run, ENV_ID, "ppo", "me/agent", path.parent / "staged", path)


def read_policy(run: Path) -> None:
    if "policy" not in read_hyperparameters(run, ENV_ID):
        raise DamagedAgentError(f"{ENV_ID}/config.yml was read as data")


LOADERS = {
    "picture.png": (lambda path: read_picture(path, 64, 64), PictureError),
    "picture.jpg": (lambda path: read_picture(path, 64, 64), PictureError),
    "translator.safetensors": (load_translator, TranslatorFileError),
    "description.safetensors": (read_translator_file, TranslatorFileError),
    f"{ENV_ID}/args.yml": (lambda path: read_arguments(path.parent.parent, ENV_ID), DamagedAgentError),
    f"{ENV_ID}/config.yml": (lambda path: read_policy(path.parent.parent), DamagedAgentError),
    "rl_model_1_steps.state.npz": (read_state, RunStateError),
    "measures.json": (measures_of, PublishingError),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LOADERS)
def test_our_loaders_run_nothing(name, kind, marker, tmp_path):
    load, error = LOADERS[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(payloads(marker)[kind])
    with pytest.raises(error) as raised:
        load(path)
    assert name in str(raised.value)
    assert not marker.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_beside_a_picture_runs_nothing(kind, marker, tmp_path):
    (tmp_path / "truth.json").write_bytes(payloads(marker)[kind])
    read_truth_of(tmp_path / "truth.json")
    (tmp_path / "truth.png").write_bytes(payloads(marker)[kind])
    read_truth_of(tmp_path / "truth.json")
    assert not marker.exists()


def test_our_hyperparameters_are_read_as_data(marker, tmp_path):
    file = tmp_path / "ppo.yml"
    file.write_bytes(payloads(marker)["yaml"])
    with pytest.raises(yaml.YAMLError):
        read_entries(file)
    assert not marker.exists()


def test_what_is_too_deep_or_too_large_is_named(tmp_path, monkeypatch):
    path = tmp_path / "truth.json"
    path.write_text("[" * 200_000)
    read_truth_of(path)
    (tmp_path / ENV_ID).mkdir()
    (tmp_path / ENV_ID / "args.yml").write_text("[" * 5000)
    with pytest.raises(DamagedAgentError, match=r"args\.yml"):
        read_arguments(tmp_path, ENV_ID)
    monkeypatch.setattr("sb3_mimic.pictures.truth.MAX_BYTES", 10)
    read_truth_of(path)


def test_no_loader_of_ours_unpickles():
    """Where a file could run code, SB3 or the zoo reads it, and SECURITY.md says so"""
    import sb3_mimic

    package = Path(sb3_mimic.__file__).parent
    found = {}
    for file in package.rglob("*.py"):
        source = file.read_text()
        words = (
            "pickle",
            "UnsafeLoader",
            "yaml.load(",
            "np.load(",
            "th.load(",
            "eval(",
            "exec(",
            "VecNormalize.load",
            "].load(",
        )
        code = source
        for harmless in (".eval()", "can be pickled", "allow_pickle=False", "no pickle", "literal_eval(", "_ezpickle_"):
            code = code.replace(harmless, "")
        if used := [word for word in words if word in code]:
            found[str(file.relative_to(package))] = used
    # Of the arguments a safe loader, of arrays those that hold no objects; states of runs are handed payloads above
    assert found == {
        "agents/loading.py": ["pickle", "VecNormalize.load", "].load("],
        "runs/arguments.py": ["yaml.load("],
        "runs/folders.py": ["np.load("],
        "checkpoints/state_file.py": ["np.load("],
    }


def test_what_security_md_warns_of_does_run_code(marker, tmp_path):
    """A model's zip: the warning is no mere caution"""
    model = tmp_path / "model.zip"
    code = (
        "from stable_baselines3 import PPO; import sys;"
        "m = PPO('MlpPolicy', 'CartPole-v1', n_steps=8, batch_size=8, device='cpu');"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_security import Payload; from pathlib import Path;"
        f"m.extra = Payload(Path({str(marker)!r})); m.save({str(model)!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert not marker.exists()
    from stable_baselines3 import PPO

    PPO.load(model, device="cpu")
    assert marker.exists()
