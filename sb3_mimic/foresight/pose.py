"""Defines a predictor that foresees poses, and draws them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic.errors import ForesightError
from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.foresight.base import Actions, Frames, Lesson, VideoPredictor
from sb3_mimic.pose import JOINTS, PoseLayout
from sb3_mimic.translator.conv_lstm import Belief, BeliefFilter
from sb3_mimic.translator.convnet import ConvNetTranslator

#: Draws poses, shape (n, state_dim), as pictures, uint8, shape (n, height, width, channels)
Draw = Callable[[npt.NDArray[np.float32]], Frames]

# From step to step little changes: this makes changes about as large as places
CHANGE_GAIN = 10.0
# How far from a limit it is felt: scaled positions end at 1
LIMIT_GAIN = 5.0
# Scales of reading are small numbers
SMALLEST_SCALE = 1e-5


class Dynamics(nn.Module):
    """
    Tells how joints move on: from where they are, how that changed in the step before, and the actions of that step and of the
    next one. The action before counts since a change is the mean speed in a step, and not the speed at its end.

    :param layout: What the numbers of a state mean, which has joints
    :param action_dim: How many numbers an action has
    :param width: Size of the layers
    """

    def __init__(self, layout: PoseLayout, action_dim: int, width: int):
        super().__init__()
        joints = layout[JOINTS]
        self.scale: th.Tensor
        self.offset: th.Tensor
        self.register_buffer("scale", th.tensor(joints.scale or (1.0,) * joints.size), persistent=False)
        self.register_buffer("offset", th.tensor(joints.offset or (0.0,) * joints.size), persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(6 * joints.size + 2 * action_dim, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, joints.size),
        )

    def forward(self, place: th.Tensor, change: th.Tensor, before: th.Tensor, action: th.Tensor) -> th.Tensor:
        """
        Returns how joints change in the next step.

        :param place: Scaled joint positions, shape (..., n_joints)
        :param change: How they changed in the step before, the same shape
        :param before: The action of the step before, shape (..., action_dim)
        :param action: That of the next one, the same shape
        :return: The change, shape (..., n_joints)
        """
        angles, fast = place * self.scale + self.offset, CHANGE_GAIN * change
        # Where it would come to, beyond a limit or not
        beyond = LIMIT_GAIN * ((place + change).abs() - 1)
        known = th.cat((angles.cos(), angles.sin(), place, fast, fast.abs(), beyond, before, action), dim=-1)
        moved: th.Tensor = change + self.layers(known) / CHANGE_GAIN
        return moved


class PosePredictor(VideoPredictor):
    """
    Foresees poses, and draws them: a ConvNet reads each frame that is seen, a filter with learnt gains (as in KalmanNet,
    Revach et al., arXiv 2107.10043) makes of that where the joints are and how fast, and what is learnt of how they move (as
    in PETS, Chua et al., arXiv 1805.12114, without its ensembles) goes on from there with the actions to come. A camera draws
    what they come to: nothing blurs.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param action_dim: How many numbers an action has
    :param layout: What the numbers that are read mean: a layout with joints, or what its ``to_json`` gives
    :param channels: Output channels of the convolutions that read
    :param net_arch: Sizes of the layers behind them
    :param hidden_size: Size of the layers that tell how joints move
    :param belief_size: Size of the recurrent cell that tells what to believe
    :raises ForesightError: When the layout has no joints
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_dim: int,
        layout: PoseLayout | Sequence[dict[str, Any]],
        channels: Sequence[int] = (32, 64, 96, 128),
        net_arch: Sequence[int] = (256, 256),
        hidden_size: int = 128,
        belief_size: int = 48,
    ):
        super().__init__(observation_space, action_dim)
        self.layout = layout if isinstance(layout, PoseLayout) else PoseLayout.from_json(layout)
        if JOINTS not in self.layout or self.layout[JOINTS].start:
            names = ", ".join(part.name for part in self.layout)
            raise ForesightError(f"Poses are foreseen by their joints, which must come first in a state; it has {names}.")
        self.n_joints = self.layout[JOINTS].size
        self.hidden_size, self.belief_size = hidden_size, belief_size
        self.reader = ConvNetTranslator(observation_space, self.layout.dim, channels, net_arch)
        self.dynamics = Dynamics(self.layout, action_dim, hidden_size)
        self.belief = BeliefFilter(self.n_joints, 0, belief_size)
        #: Draws poses; given by whoever has the robot
        self.draw: Draw | None = None

    def read(self, frames: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        Reads joints in frames by themselves.

        :param frames: In [0, 1], shape (batch, time, channels, height, width)
        :return: Scaled joint positions, shape (batch, time, n_joints), and the logarithms of the scales of their errors
        """
        states, scales, _ = self.reader.read(frames * 255)
        joints = states[..., : self.n_joints]
        if scales is None:
            return joints, th.zeros_like(joints)
        return joints, scales[..., : self.n_joints].clamp(min=SMALLEST_SCALE).log()

    def believe(self, read: th.Tensor, scales: th.Tensor, actions: th.Tensor, belief: Belief | None = None) -> Belief:
        """
        Goes through what was read in frames that follow one another.

        :param read: Scaled joint positions, shape (batch, time, n_joints)
        :param scales: Logarithms of the scales of their errors, the same shape
        :param actions: The actions before each frame, and one more before: where nothing was before, zeros. Shape
            (batch, time + 1, action_dim)
        :param belief: What was returned for the frames before; None where there were none
        :return: What is believed of the last frame
        """

        def accelerate(place: th.Tensor, change: th.Tensor, step: int) -> th.Tensor:
            if belief is None and step == 0:
                # The first frame: nothing has led there
                return change
            return self.dynamics(place, change, actions[:, step], actions[:, step + 1])  # type: ignore[no-any-return]

        _, believed = self.belief(read, scales, read.new_zeros(*read.shape[:2], 0), belief, accelerate)
        return believed  # type: ignore[no-any-return]

    def go_on(self, place: th.Tensor, change: th.Tensor, before: th.Tensor, actions: th.Tensor) -> th.Tensor:
        """
        Foresees joints.

        :param place: Scaled joint positions, shape (batch, n_joints)
        :param change: How they changed in the step before, the same shape
        :param before: The action of the step before, shape (batch, action_dim)
        :param actions: Those to come, shape (batch, n_steps, action_dim)
        :return: Scaled joint positions after each of them, shape (batch, n_steps, n_joints)
        """
        foreseen = []
        for action in actions.unbind(1):
            change = self.dynamics(place, change, before, action)
            place, before = place + change, action
            foreseen.append(place)
        return th.stack(foreseen, dim=1)

    def foresee_joints(self, frames: th.Tensor, actions: th.Tensor) -> th.Tensor:
        """
        Foresees joints.

        :param frames: Those so far, in [0, 1], shape (batch, n_seen, channels, height, width)
        :param actions: Those between them, and those to come, shape (batch, n_seen - 1 + n_steps, action_dim)
        :return: Scaled joint positions, shape (batch, n_steps, n_joints)
        """
        n_seen = frames.shape[1]
        taken = nn.functional.pad(actions[:, : n_seen - 1], (0, 0, 2, 0))
        place, change, _ = self.believe(*self.read(frames), taken)
        return self.go_on(place, change, taken[:, -1], actions[:, n_seen - 1 :])

    def predict_joints(self, frames: Frames, actions: Actions) -> npt.NDArray[np.float64]:
        """
        Foresees joint positions.

        :param frames: See :meth:`predict`
        :param actions: See :meth:`predict`
        :return: Joint positions, shape (..., n_steps, n_joints), in rad, or m for slides
        :raises ForesightError: When a shape or a type does not fit
        """
        seen, taken = self.checked(frames, actions)
        with evaluated(self):
            joints = self.foresee_joints(seen, taken)
        return self.qpos_of(joints).reshape(*frames.shape[:-4], -1, self.n_joints)

    def qpos_of(self, joints: th.Tensor) -> npt.NDArray[np.float64]:
        """Returns joint positions, in rad, or m for slides, of scaled ones, shape (..., n_joints)."""
        return np.asarray(self.layout[JOINTS].of(joints.cpu().double().numpy()), np.float64)

    def foresee(self, frames: th.Tensor, actions: th.Tensor) -> th.Tensor:
        """
        Foresees frames, see :meth:`VideoPredictor.foresee`.

        :raises ForesightError: When nothing has been given that draws
        """
        if self.draw is None:
            raise ForesightError("Poses are foreseen, and nothing draws them: set draw, or load it with its environment.")
        joints = self.foresee_joints(frames, actions)
        drawn = self.draw(self.qpos_of(joints).reshape(-1, self.n_joints).astype(np.float32))
        pictures = th.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
        return pictures.view(*joints.shape[:2], *pictures.shape[1:])

    def loss(self, lesson: Lesson, share_true: float) -> th.Tensor:
        """
        Poses are learnt from poses, see :func:`~sb3_mimic.foresight.pose_training.fit_pose_predictor`.

        :raises ForesightError: Always
        """
        raise ForesightError("A PosePredictor learns from poses: train it by fit_pose_predictor.")

    def get_constructor_parameters(self) -> dict[str, Any]:
        own = {"layout": self.layout.to_json(), "hidden_size": self.hidden_size, "belief_size": self.belief_size}
        reader = {"channels": self.reader.channels, "net_arch": self.reader.net_arch}
        return {**super().get_constructor_parameters(), **own, **reader}
