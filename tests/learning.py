"""What the tests of policies, translator and callback share: small models, and who looks with what."""

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib import TQC, RecurrentPPO
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize, VecTransposeImage

from sb3_mimic import keys
from sb3_mimic.extractors import FusedExtractor, PixelExtractor, StateExtractor
from sb3_mimic.policies import (
    FusedPolicy,
    FusedSACPolicy,
    FusedTQCPolicy,
    PixelPolicy,
    PixelSACPolicy,
    PixelTQCPolicy,
    RecurrentFusedPolicy,
    RecurrentPixelPolicy,
    RecurrentStatePolicy,
    StatePolicy,
    StateSACPolicy,
    StateTQCPolicy,
)
from sb3_mimic.translator.callback import TranslatorCallback

ENV_ID = "MimicReacherPlane-v0"
# Each policy with its features extractor and an id whose observation is made for it
POLICIES = {
    StatePolicy: (StateExtractor, ENV_ID),
    PixelPolicy: (PixelExtractor, "MimicReacherPlanePixels-v0"),
    FusedPolicy: (FusedExtractor, "MimicReacherPlaneFused-v0"),
}
RECURRENT = {
    RecurrentStatePolicy: POLICIES[StatePolicy],
    RecurrentPixelPolicy: POLICIES[PixelPolicy],
    RecurrentFusedPolicy: POLICIES[FusedPolicy],
}
ON_POLICY = POLICIES | RECURRENT
OFF_POLICY = {
    StateSACPolicy: (SAC, ENV_ID),
    StateTQCPolicy: (TQC, ENV_ID),
    FusedSACPolicy: (SAC, "MimicReacherPlaneFused-v0"),
    FusedTQCPolicy: (TQC, "MimicReacherPlaneFused-v0"),
    PixelSACPolicy: (SAC, "MimicReacherPlanePixels-v0"),
    PixelTQCPolicy: (TQC, "MimicReacherPlanePixels-v0"),
}
SMALL = {"channels": [8, 8, 8], "net_arch": [16]}


class ModelMaker:
    """Makes small models on environments that are closed at the end of a test."""

    def __init__(self):
        th.set_num_threads(1)
        self.opened = []

    def close(self) -> None:
        for venv in self.opened:
            venv.close()

    def __call__(self, policy=StatePolicy, env_id=None, n_envs=2, n_stack=1, wrapper=None, norm_obs_keys=None, **kwargs):
        venv = make_vec_env(env_id or (ON_POLICY | OFF_POLICY)[policy][1], n_envs, seed=0, wrapper_class=wrapper)
        if norm_obs_keys is None:
            norm_obs_keys = [keys.OBSERVATION] if keys.OBSERVATION in venv.observation_space.spaces else []
        # SB3's replay buffers take observations as they were before VecNormalize: channels must be first by then
        if policy in OFF_POLICY:
            venv = VecTransposeImage(venv)
        venv = VecFrameStack(VecNormalize(venv, norm_obs_keys=norm_obs_keys), n_stack)
        self.opened.append(venv)
        if policy in OFF_POLICY:
            defaults = {"learning_starts": 32, "batch_size": 16, "buffer_size": 256, "train_freq": 8}
            algorithm = OFF_POLICY[policy][0]
        else:
            defaults = {"n_steps": 64, "batch_size": 64, "n_epochs": 2}
            algorithm = RecurrentPPO if policy in RECURRENT else PPO
        return algorithm(policy, venv, **{"seed": 0, "device": "cpu"} | defaults | kwargs)


def parameters_of(module: th.nn.Module, translator: bool = False) -> dict[str, th.Tensor]:
    return {name: value for name, value in module.named_parameters() if name.startswith("translator") == translator}


def picture_space(n_channels: int = 3, **replaced) -> spaces.Dict:
    picture = spaces.Box(0, 255, (n_channels, 64, 64), np.uint8)
    vector = spaces.Box(-1, 1, (5,), np.float32)
    space = dict.fromkeys(keys.STATE_KEYS, vector) | dict.fromkeys(keys.IMAGE_KEYS, picture) | replaced
    return spaces.Dict({key: value for key, value in space.items() if value is not None})


class Compare(TranslatorCallback):
    """Compares the probabilities that PPO finds before its first step with those that the actions were chosen with"""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.found = []

    def _on_rollout_end(self) -> None:
        super()._on_rollout_end()
        buffer = self.model.rollout_buffer
        observations = {key: th.from_numpy(value[5]) for key, value in buffer.observations.items()}
        _, log_prob, _ = self.model.policy.evaluate_actions(observations, th.from_numpy(buffer.actions[5]))
        self.found.append((log_prob.detach().numpy(), buffer.log_probs[5]))
