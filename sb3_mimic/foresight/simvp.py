"""Defines a predictor without memory, that foresees many frames at once."""

from typing import Any

import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic.foresight.base import Lesson, VideoPredictor


class GatedBlock(nn.Module):
    """
    Mixes what is seen at all times, near and far, by gated attention (Tan et al., arXiv 2211.12509).

    :param channels: Of its input and of its output
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
            nn.Conv2d(channels, channels, 5, padding=4, dilation=2, groups=channels),
            nn.Conv2d(channels, 2 * channels, 1),
        )
        self.mix = nn.Sequential(
            nn.GroupNorm(1, channels), nn.Conv2d(channels, 2 * channels, 1), nn.SiLU(), nn.Conv2d(2 * channels, channels, 1)
        )

    def forward(self, maps: th.Tensor) -> th.Tensor:
        """Returns maps of the same shape, (batch, channels, height, width)."""
        what, gate = self.gate(self.norm(maps)).chunk(2, dim=1)
        maps = maps + what * th.sigmoid(gate)
        mixed: th.Tensor = maps + self.mix(maps)
        return mixed


class SimVPPredictor(VideoPredictor):
    """
    Foresees frames by convolutions alone, as SimVP does (Gao et al., arXiv 2206.05099): the maps of all frames that are seen
    lie on each other as channels, with the actions, and become the maps of all frames to come. Where more are to come than it
    foresees at once, it goes on from those that it foresaw.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param action_dim: How many numbers an action has
    :param n_seen: Frames that it sees
    :param n_foreseen: Frames that it foresees at once, at least as many
    :param channels: Of each frame's maps
    :param n_blocks: How often they are mixed
    :raises ValueError: When it would see more frames than it foresees
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_dim: int,
        n_seen: int = 4,
        n_foreseen: int = 10,
        channels: int = 16,
        n_blocks: int = 4,
    ):
        super().__init__(observation_space, action_dim)
        if not 1 <= n_seen <= n_foreseen:
            raise ValueError(f"n_seen must be between 1 and n_foreseen, got {n_seen} and {n_foreseen}")
        self.n_context = n_seen
        self.n_seen, self.n_foreseen, self.channels, self.n_blocks = n_seen, n_foreseen, channels, n_blocks
        self.outer = nn.Sequential(nn.Conv2d(self.n_channels, channels, 5, stride=2, padding=2), nn.SiLU())
        self.inner = nn.Sequential(nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.SiLU())
        n_actions = (n_seen - 1 + n_foreseen) * action_dim
        self.enter = nn.Conv2d(n_seen * channels, n_foreseen * channels, 1)
        self.steer = nn.Sequential(nn.Linear(n_actions, 128), nn.SiLU(), nn.Linear(128, 2 * n_foreseen * channels))
        self.blocks = nn.Sequential(*(GatedBlock(n_foreseen * channels) for _ in range(n_blocks)))
        self.up = nn.Sequential(nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2), nn.SiLU())
        self.paint = nn.Sequential(
            nn.Conv2d(2 * channels, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(channels, self.n_channels + 1, 3, padding=1),
        )

    def foresee(self, frames: th.Tensor, actions: th.Tensor) -> th.Tensor:
        n_steps = actions.shape[1] - frames.shape[1] + 1
        seen, ahead = frames[:, -self.n_seen :], actions[:, frames.shape[1] - self.n_seen :]
        foreseen: list[th.Tensor] = []
        for start in range(0, n_steps, self.n_foreseen):
            told = ahead[:, start : start + self.n_seen - 1 + self.n_foreseen]
            n_here = told.shape[1] - self.n_seen + 1
            missing = self.n_foreseen - n_here
            # What is not asked for may be anything
            told = nn.functional.pad(told, (0, 0, 0, missing))
            foreseen.append(self._at_once(seen, told)[:, :n_here])
            seen = foreseen[-1][:, -self.n_seen :]
        return th.cat(foreseen, dim=1)

    def _at_once(self, frames: th.Tensor, actions: th.Tensor) -> th.Tensor:
        n, n_out = len(frames), self.n_foreseen
        fine = self.outer(frames.flatten(0, 1))
        maps = self.enter(self.inner(fine).unflatten(0, (n, -1)).flatten(1, 2))
        # Actions scale the maps and shift them (FiLM)
        scale, shift = self.steer(actions.flatten(1))[:, :, None, None].chunk(2, dim=1)
        maps = self.blocks(maps * (1 + scale) + shift)
        maps = self.up(maps.unflatten(1, (n_out, -1)).flatten(0, 1))
        last = fine.unflatten(0, (n, -1))[:, -1:].expand(-1, n_out, -1, -1, -1).flatten(0, 1)
        drawn = self.paint(th.cat((maps, last), dim=1)).unflatten(0, (n, n_out))
        painted, mask = th.sigmoid(drawn[:, :, :-1]), th.sigmoid(drawn[:, :, -1:])
        return mask * painted + (1 - mask) * frames[:, -1:]

    def loss(self, lesson: Lesson, share_true: float) -> th.Tensor:
        """Here frames are foreseen at once: none of its own predictions is seen, and ``share_true`` does not count."""
        foreseen = self.foresee(lesson.frames[:, : self.n_seen], lesson.actions)
        return nn.functional.mse_loss(foreseen, lesson.frames[:, self.n_seen :])

    def get_constructor_parameters(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("n_seen", "n_foreseen", "channels", "n_blocks")}
        return {**super().get_constructor_parameters(), **own}
