"""The life of an environment: how its world opens, closes, is shown and is copied."""

import time
from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.world import display
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.errors import EnvArgumentError, WindowError

Observation = dict[str, Any]

PICTURE_SIZE = 480


class Window(Protocol):
    """What people watch an environment in."""

    def close(self) -> None: ...


WindowT = TypeVar("WindowT", bound=Window)


class BaseEnv(gym.Env[Observation, npt.NDArray[np.float32]], ABC, Generic[WindowT]):
    """
    An environment with a PyBullet world of its own. A reset after :meth:`close` opens a new world.

    :param simulation: The world
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :raises EnvArgumentError: For another render mode
    """

    metadata = {"render_modes": ["human", "rgb_array"]}  # noqa: RUF012

    def __init__(self, simulation: Simulation, render_mode: str | None):
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise EnvArgumentError(
                f"Unknown render_mode '{render_mode}'. Known modes: {', '.join(self.metadata['render_modes'])};"
                " and, by gymnasium.make, rgb_array_list."
            )
        self.simulation = simulation
        self.render_mode = render_mode
        self._window: WindowT | None = None
        self._is_shown = render_mode == "human"
        if self._is_shown and (reason := display.why_no_display()):
            display.warn_without_window(f"There is no display ({reason})")

    @abstractmethod
    def run_state(self) -> dict[str, Any]:
        """Returns all that the future of a running episode depends on, as plain numbers and arrays."""

    @abstractmethod
    def restore_run_state(self, state: dict[str, Any]) -> None:
        """
        Goes on with an episode from an earlier state.

        :param state: What :meth:`run_state` gave, be it in another process: the episode goes on from there
        """

    @abstractmethod
    def _load(self) -> None:
        """Puts all bodies into the world, which has just been opened."""

    @abstractmethod
    def _picture(self) -> npt.NDArray[np.uint8]:
        """Returns a picture for people, shape (480, 480, 3)."""

    @abstractmethod
    def _open_window(self) -> WindowT:
        """Returns a new window."""

    @abstractmethod
    def _show(self, window: WindowT) -> None:
        """Shows the scene as it is in the window."""

    def _restart(self, seed: int | None) -> None:
        """
        Starts an episode: seeds the random numbers, and puts the world back to how it was when it was opened.

        :param seed: Seed of the random numbers
        """
        super().reset(seed=seed)
        if not self.simulation.is_open:
            self.simulation.open()
            self._load()
        self.simulation.restore_initial()

    def render(self) -> npt.NDArray[np.uint8] | None:
        """
        Draws the scene, or shows it in a window.

        :return: In mode ``"rgb_array"`` a picture, shape (480, 480, 3); in mode ``"human"`` None
        :raises ClosedEnvError: After :meth:`close`
        """
        self.simulation.check_open()
        if self.render_mode == "rgb_array":
            return self._picture()
        if self.render_mode is None:
            gym.logger.warn("Nothing is rendered without a render_mode: give gymnasium.make 'human' or 'rgb_array'.")
        elif self._is_shown and not display.why_no_display():
            self._show_window()
        return None

    def _show_window(self) -> None:
        """Shows the scene as it is, in a window that is opened the first time."""
        if self._window is None:
            try:
                self._window = self._open_window()
            except WindowError as error:
                self._is_shown = False
                display.warn_without_window(str(error))
                return
        self._show(self._window)
        time.sleep(1 / self.metadata["render_fps"])

    def close(self) -> None:
        """Frees the world, and closes the window. Closing twice does no harm."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self.simulation.close()

    def __getstate__(self) -> dict[str, Any]:
        run = self.run_state() if self.simulation.is_open else None
        return {"attributes": {**self.__dict__, "_window": None}, "run": run}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        if state["run"] is not None:
            self.restore_run_state(state["run"])
