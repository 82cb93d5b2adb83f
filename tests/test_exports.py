"""Policies leave for other places as SB3's documentation shows: ONNX and TorchScript, for any batch size."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch as th
import yaml
from gymnasium import spaces
from rl_zoo3.utils import get_class_by_name
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

REPOSITORY = Path(__file__).parent.parent
ENTRIES = yaml.safe_load((REPOSITORY / "hyperparams" / "ppo.yml").read_text())


class OnnxableSB3Policy(th.nn.Module):
    """As in SB3's documentation"""

    def __init__(self, policy):
        super().__init__()
        self.policy = policy

    def forward(self, observation):
        return self.policy(observation, deterministic=True)


def make(env_id: str) -> PPO:
    """The policy of an id's own hyperparameters, with random weights"""
    entry = ENTRIES[env_id]
    venv = make_vec_env(env_id, 1, seed=0)
    if "frame_stack" in entry:
        venv = VecFrameStack(venv, entry["frame_stack"])
    name = entry["policy"]
    policy = name if "." not in name else get_class_by_name(name)
    model = PPO(policy, venv, n_steps=8, batch_size=8, policy_kwargs=entry.get("policy_kwargs"), seed=0, device="cpu")
    venv.close()
    return model


def observations(space: spaces.Dict, n: int) -> dict[str, th.Tensor]:
    rng = np.random.default_rng(n)
    return {
        key: th.from_numpy(
            rng.integers(0, 256, (n, *box.shape)).astype(np.uint8)
            if box.dtype == np.uint8
            else rng.uniform(-1, 1, (n, *box.shape)).astype(np.float32)
        )
        for key, box in space.spaces.items()
    }


@pytest.mark.parametrize("env_id", ENTRIES)
def test_a_trace_takes_any_batch_size(env_id):
    th.set_num_threads(1)
    model = make(env_id)
    policy = OnnxableSB3Policy(model.policy).eval()
    with warnings.catch_warnings():
        # torch deprecates it, and SB3 shows it
        warnings.simplefilter("ignore")
        traced = th.jit.trace(policy, (observations(model.observation_space, 2),), strict=False, check_trace=False)
    for n in (1, 7):
        observation = observations(model.observation_space, n)
        with th.no_grad():
            for ours, theirs in zip(policy(observation), traced(observation), strict=True):
                np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


# One of each policy, and of each way to see: an export takes seconds
KINDS = ("", "Fused", "Pixels")
OTHERS = ("MimicReacherPlaneState-v0", "MimicReacher6D-v0", "MimicHumanoidWild-v0", "MimicHumanoidPixels-v0")


@pytest.mark.parametrize("env_id", [*(f"MimicReacherPlane{kind}-v0" for kind in KINDS), "MimicHumanoidWalk-v0"])
def test_one_onnx_file_takes_any_batch_size(env_id, tmp_path, monkeypatch):
    export_and_compare(env_id, monkeypatch, tmp_path / "policy.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("env_id", OTHERS)
def test_other_bodies_and_modes_leave_as_onnx_too(env_id, tmp_path, monkeypatch):
    export_and_compare(env_id, monkeypatch, tmp_path / "policy.onnx")


def export_and_compare(env_id: str, monkeypatch, path: Path) -> None:
    th.set_num_threads(1)
    model = make(env_id)
    policy = OnnxableSB3Policy(model.policy).eval()
    example = observations(model.observation_space, 2)
    batch = th.export.Dim("batch")
    # Checks of a distribution's arguments depend on their values, which an export cannot follow
    monkeypatch.setattr(th.distributions.Distribution, "_validate_args", False)
    with warnings.catch_warnings():
        # torch's own, about itself
        warnings.simplefilter("ignore")
        th.onnx.export(
            policy,
            (),
            path,
            kwargs={"observation": example},
            dynamo=True,
            verbose=False,
            dynamic_shapes={"observation": {key: {0: batch} for key in example}},
            input_names=list(example),
        )
    session = ort.InferenceSession(path)
    known = {each.name for each in session.get_inputs()}
    for n in (1, 7):
        observation = observations(model.observation_space, n)
        with th.no_grad():
            ours = policy(observation)
        theirs = session.run(None, {key: value.numpy() for key, value in observation.items() if key in known})
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(their, our, rtol=1e-3, atol=1e-4)
