"""One PyBullet client and its clock: the only place that opens, steps, saves and closes a world."""

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pybullet as p

from sb3_mimic.errors import BodyError, ClosedEnvError, WindowError

# PyBullet's 50 take longer than all the rest of a step. Joint friction and limits converge within these.
SOLVER_ITERATIONS = 10


class Simulation:
    """
    A PyBullet world of its own.

    :param timestep: Length of one physics step, in s
    :param n_substeps: Physics steps per call of :meth:`step`
    :param gravity: Downward acceleration, in m/s^2
    :param gui: Whether to open PyBullet's window (needs a display)
    """

    def __init__(self, timestep: float = 1 / 240, n_substeps: int = 4, gravity: float = 9.81, gui: bool = False):
        if timestep <= 0 or n_substeps < 1:
            raise ValueError(f"timestep must be positive and n_substeps at least 1, got {timestep} and {n_substeps}")
        self.timestep = timestep
        self.n_substeps = n_substeps
        self.gravity = gravity
        self.gui = gui
        self.open()

    def open(self) -> None:
        """
        Opens a new, empty world, in place of one that was closed.

        :raises WindowError: When there is a window already: PyBullet opens one in a process
        """
        try:
            self._client: int = p.connect(p.GUI if self.gui else p.DIRECT)
        except p.error as error:
            raise WindowError("PyBullet opens one window in a process, and there is one already") from error
        if self._client < 0:
            raise RuntimeError("PyBullet could not open a physics client")
        self._finalizer = weakref.finalize(self, p.disconnect, self._client)
        p.setGravity(0, 0, -self.gravity, physicsClientId=self._client)
        p.setPhysicsEngineParameter(
            fixedTimeStep=self.dt,
            numSubSteps=self.n_substeps,
            numSolverIterations=SOLVER_ITERATIONS,
            # Without it contacts, and so trajectories, depend on the order in which bodies were made
            deterministicOverlappingPairs=1,
            physicsClientId=self._client,
        )
        if self.gui:
            p.configureDebugVisualizer(p.COV_ENABLE_GUI, 0, physicsClientId=self._client)
        self._initial_state: int | None = None
        #: How many pictures were taken of this world
        self.n_pictures = 0

    def __getstate__(self) -> dict[str, Any]:
        arguments = {"timestep": self.timestep, "n_substeps": self.n_substeps, "gravity": self.gravity, "gui": self.gui}
        return {"arguments": arguments, "is_open": self.is_open}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["arguments"])  # type: ignore[misc]
        if not state["is_open"]:
            self.close()

    @property
    def dt(self) -> float:
        """Simulated time per call of :meth:`step`, in s"""
        return self.timestep * self.n_substeps

    @property
    def is_open(self) -> bool:
        """Whether there is a world"""
        return bool(self._finalizer.alive)

    def check_open(self) -> None:
        """
        Checks that the world has not been closed.

        :raises ClosedEnvError: When closed
        """
        if not self.is_open:
            raise ClosedEnvError("This simulation is closed. Reset its environment to open a new one.")

    @property
    def client(self) -> int:
        """
        The id of PyBullet's client.

        :raises ClosedEnvError: When closed. PyBullet reuses the ids of closed clients,
            so that a stale one would drive somebody else's world.
        """
        if not self._finalizer.alive:
            self.check_open()
        return self._client

    def load(self, urdf: str, is_fixed: bool = True, name: str = "this model") -> int:
        """
        Loads a body. All bodies must be loaded before the first reset or saved state.

        :param urdf: The text of a URDF
        :param is_fixed: Whether its base stays where it is
        :param name: How an error calls it
        :return: The body's id
        :raises BodyError: When PyBullet cannot load it
        """
        # Else PyBullet takes inertia from the collision shapes, and calls it next to nothing where there are none
        flags = p.URDF_USE_INERTIA_FROM_FILE
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/robot.urdf"
            Path(path).write_text(urdf)
            try:
                body: int = p.loadURDF(path, useFixedBase=is_fixed, flags=flags, physicsClientId=self.client)
            except p.error as error:
                raise BodyError(f"PyBullet cannot load {name}. What it does not understand is printed above.") from error
        return body

    def step(self) -> None:
        """Advances the world by :attr:`dt`."""
        p.stepSimulation(physicsClientId=self.client)

    def restore_initial(self) -> None:
        """Puts everything back to where it was when this was first called: no trace of past episodes is left."""
        if self._initial_state is None:
            self._initial_state = p.saveState(physicsClientId=self.client)
        p.restoreState(self._initial_state, physicsClientId=self.client)
        # What touched before the world was put back would be said to touch, and be pushed, until the next look
        p.performCollisionDetection(physicsClientId=self.client)

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Whatever happens to positions and velocities inside the block is undone at its end."""
        state = p.saveState(physicsClientId=self.client)
        try:
            yield
        finally:
            if self._finalizer.alive:
                p.restoreState(state, physicsClientId=self._client)
                p.removeState(state, physicsClientId=self._client)

    def to_bytes(self) -> bytes:
        """Returns positions, velocities and contacts, to be restored in any process with the same bodies. Not the motors."""
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/world.bullet"
            p.saveBullet(path, physicsClientId=self.client)
            return Path(path).read_bytes()

    def from_bytes(self, world: bytes) -> None:
        """
        Puts the world into a state that was taken down.

        :param world: What :meth:`to_bytes` gave
        :raises ValueError: When it does not fit
        """
        # What episodes start from is taken down before anything moves
        self.restore_initial()
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/world.bullet"
            Path(path).write_bytes(world)
            try:
                p.restoreState(fileName=path, physicsClientId=self.client)
            except p.error as error:
                raise ValueError(f"This state is not one of a simulation with the same bodies: {error}") from error

    def close(self) -> None:
        """Frees the world. Closing twice does no harm."""
        self._finalizer()
