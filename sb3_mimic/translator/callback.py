"""Trains the policy's translator during reinforcement learning, on the frames of each rollout."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Image
from stable_baselines3.common.preprocessing import get_obs_shape

from sb3_mimic import keys
from sb3_mimic.data.dataset import PoseDataset, PoseMemory
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.training import default_n_threads, fit, torch_threads

# For each picture, the pose in it: its key in the observation, and its name in the info where it is not observed
LABELS = {
    keys.IMAGE: (keys.ACHIEVED_GOAL, "previous_achieved_goal"),
    keys.DESIRED_IMAGE: (keys.DESIRED_GOAL, "desired_goal"),
}
# Part of the largest learning rate that is left after the cycle
FLOOR = 0.02


def one_cycle(progress: float, warm_up: float = 0.15) -> float:
    """
    Up in a straight line, then down to zero in half a cosine (Smith & Topin, arXiv:1708.07120).

    :param progress: Part of the training that is done, in [0, 1]
    :param warm_up: Part in which the rate rises
    :return: Part of the largest learning rate, in [0, 1]
    """
    if progress < warm_up:
        return max(progress, 0.0) / warm_up
    return (1 + math.cos(math.pi * min((progress - warm_up) / (1 - warm_up), 1.0))) / 2


class TranslatorCallback(BaseCallback):
    """
    At the end of every rollout, and before PPO trains on it: measure the translator on the new frames, add those that
    differ to a memory of earlier ones, train on a sample of it, and log both. Then free the pictures: those that the
    policy does not look at, and those that it has read.

    :param frames_per_step: Frames to train on for each step of the environment
    :param batch_size: Frames per update
    :param learning_rate: The largest of the one-cycle schedule
    :param cycle: Part of the training over which that cycle goes; afterwards the rate stays at 2 % of the largest.
        A policy that acts on what the translator reads wants its eyes to be good early.
    :param min_change: How far a joint (in scaled units) or a key point (in m) must have moved since the last frame for one
        to be worth remembering. The larger, the more weigh the poses that are drawn evenly: where episodes start, and targets
    :param memory_size: Frames to remember; 64x64 pixels take 12 KiB each
    :param n_validation: Frames to measure with
    :param picture_freq: Rollouts between two logged pictures; 0 for none
    :param n_threads: Threads for torch meanwhile; half as many as processors by default
    :param verbose: Verbosity
    """

    def __init__(
        self,
        frames_per_step: float = 0.75,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        cycle: float = 1.0,
        min_change: float = 0.05,
        memory_size: int = 16_384,
        n_validation: int = 256,
        picture_freq: int = 20,
        n_threads: int | None = None,
        verbose: int = 0,
    ):
        super().__init__(verbose)
        for name, value in {"batch_size": batch_size, "memory_size": memory_size, "n_validation": n_validation}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name, rate in {
            "frames_per_step": frames_per_step,
            "learning_rate": learning_rate,
            "min_change": min_change,
        }.items():
            if not 0 < rate < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {rate}")
        if not 0 < cycle <= 1:
            raise ValueError(f"cycle must be a part of the training, above 0 and at most 1, got {cycle}")
        self.frames_per_step = frames_per_step
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.cycle = cycle
        self.min_change = min_change
        self.n_validation = n_validation
        self.picture_freq = picture_freq
        self.n_threads = n_threads or default_n_threads()
        self.memory = PoseMemory(memory_size)
        self.n_rollouts = 0

    def _init_callback(self) -> None:
        translator = getattr(self.model.policy, "translator", None)
        if not isinstance(translator, Translator):
            raise ValueError(
                f"TranslatorCallback needs a policy with a translator, and {type(self.model.policy).__name__} has none."
                " Use a policy of sb3_mimic.policies and an environment id with pictures, or leave the callback out."
            )
        if not hasattr(self.model, "rollout_buffer"):
            raise ValueError(
                f"TranslatorCallback trains on the frames of a rollout buffer, and {type(self.model).__name__} has none."
                " Use an on-policy algorithm such as PPO, or leave the callback out."
            )
        self.translator = translator
        # A generator of its own: PPO's random numbers are the same with and without this callback
        self.rng = np.random.default_rng(self.model.seed)
        self.layout = self.training_env.get_attr("pose_layout", indices=0)[0]

    def run_state(self) -> dict[str, Any]:
        """:return: All that its future depends on, as plain numbers and arrays"""
        return {
            "memory": self.memory.run_state(),
            "random": self.rng.bit_generator.state,
            "n_rollouts": self.n_rollouts,
        }

    def restore_run_state(self, state: dict[str, Any]) -> None:
        """:param state: What :meth:`run_state` gave"""
        self.memory.restore_run_state(state["memory"])
        self.rng.bit_generator.state = state["random"]
        self.n_rollouts = state["n_rollouts"]

    def _on_rollout_start(self) -> None:
        self._make_room_for_pictures()
        # Step by step: poses that are not part of the observation, and what the policy read in its pictures
        self._poses: dict[str, list[npt.NDArray[np.float32]]] = {}
        self._read: dict[str, list[npt.NDArray[np.float32]]] = {}

    def _on_step(self) -> bool:
        observations = self.model.rollout_buffer.observations  # type: ignore[attr-defined]
        for picture, (key, name) in LABELS.items():
            if picture in observations and key not in observations:
                # (n_envs, dim)
                pose = np.stack([info[name] for info in self.locals["infos"]])
                self._poses.setdefault(key, []).append(pose[:, : self.translator.state_dim])
        for key, states in getattr(self.model.policy, "read_in_rollout", {}).items():
            self._read.setdefault(key, []).append(states.cpu().numpy())
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
        assert isinstance(buffer, DictRolloutBuffer)
        # (n_steps, n_envs, dim)
        labels = {**buffer.observations, **{key: np.stack(poses) for key, poses in self._poses.items()}}
        frames = PoseDataset.from_rollout(buffer, labels[keys.ACHIEVED_GOAL], labels.get(keys.DESIRED_GOAL), self.min_change)
        progress = self.num_timesteps / self.model._total_timesteps
        learning_rate = self.learning_rate * max(one_cycle(progress / self.cycle), FLOOR if self.cycle < 1 else 0.0)
        with torch_threads(self.n_threads):
            self._measure(frames)
            self.memory.add(frames, self.rng)
            n_frames = round(self.frames_per_step * buffer.buffer_size * buffer.n_envs)
            sample = self.memory.sample(n_frames, self.rng)
            loss = fit(self.translator, sample, 1, self.batch_size, learning_rate, self.rng)
        self.logger.record("translator/loss", loss)
        self.logger.record("translator/learning_rate", learning_rate)
        self.n_rollouts += 1
        read_keys = self.model.policy.read_keys
        assert isinstance(read_keys, tuple)
        # PPO would copy all of them in every epoch; the next rollout makes new ones
        buffer.observations = {key: value for key, value in buffer.observations.items() if key in read_keys}
        # ... and read them anew: it trains on what was read when the action was chosen
        read = {key: np.stack(states) for key, states in self._read.items()}
        buffer.observations |= read
        buffer.obs_shape = {**buffer.obs_shape, **{key: states.shape[2:] for key, states in read.items()}}

    def _on_training_end(self) -> None:
        self._make_room_for_pictures()

    def _make_room_for_pictures(self) -> None:
        """Undo that the rollout buffer holds what was read in place of the pictures."""
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
        shape = get_obs_shape(buffer.observation_space)
        if buffer.obs_shape != shape:
            buffer.obs_shape = shape
            buffer.reset()

    def _measure(self, frames: PoseDataset) -> None:
        sample = frames.sample(self.n_validation, self.rng)
        # (n, C, H, W) -> (n, H, W, C)
        images = sample.images.transpose(0, 2, 3, 1)
        states = self.translator.predict(images)
        self.logger.record("translator/joint_error_deg", float(np.median(self.layout["joints"].error(states, sample.states))))
        if self.translator.state_dim < self.layout.dim:
            return
        self.logger.record("translator/keypoint_error_cm", float(self.layout["points"].error(states, sample.states).mean()))
        if self.picture_freq and self.n_rollouts % self.picture_freq == 0:
            poses = {"true": sample.states[0], "read": states[0]}
            picture = self.training_env.env_method("draw_poses", images[0], poses, indices=0)[0]
            self.logger.record("translator/pose", Image(picture, "HWC"), exclude=("stdout", "log", "json", "csv"))
