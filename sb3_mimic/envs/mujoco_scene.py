"""What goal pictures need of a MuJoCo environment: its joints measured, set and photographed."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic.errors import UnsuitableEnvError
from sb3_mimic.pose import JOINTS, Part, PoseLayout

# MuJoCo's numbers for kinds of joints, and for motors that act on a joint
SLIDE, HINGE = 2, 3
JOINT_TRANSMISSIONS = (0, 1)
# Half the range of a slide without limits, in m
FREE_SLIDE = 1.0


class MujocoScene:
    """
    Joints of a MuJoCo environment. Its vectors hold them scaled to [-1, 1] by their range, angles before lengths.

    :param env: With MuJoCo's ``model`` and ``data``
    :param joints: Names of hinges and slides; by default those that motors drive
    :raises UnsuitableEnvError: When it is no MuJoCo environment, or has no such joint
    """

    def __init__(self, env: gym.Env[Any, Any], joints: Sequence[str] | None = None):
        base: Any = env.unwrapped
        if not hasattr(base, "model") or not hasattr(base, "data"):
            raise UnsuitableEnvError(f"{base} has no 'model' and 'data' of MuJoCo. Give PictureGoals your own functions.")
        self._mujoco: Any = importlib.import_module("mujoco")
        self._env = env
        model = base.model
        found = {model.joint(i).name or f"joint_{i}": i for i in range(model.njnt) if model.jnt_type[i] in (SLIDE, HINGE)}
        driven = {int(model.actuator_trnid[i, 0]) for i in range(model.nu) if model.actuator_trntype[i] in JOINT_TRANSMISSIONS}
        wanted = [name for name, i in found.items() if i in driven] if joints is None else list(joints)
        unknown = [name for name in wanted if name not in found]
        if unknown or not wanted:
            what = ", ".join(unknown) or "that a motor drives"
            raise UnsuitableEnvError(f"There is no hinge or slide {what}. Those of the model: {', '.join(found)}.")
        by_kind = [[name for name in wanted if model.jnt_type[found[name]] == kind] for kind in (HINGE, SLIDE)]
        #: Names of the joints, in the order of the vector
        self.joint_names = tuple(by_kind[0] + by_kind[1])
        self._indices = np.array([model.jnt_qposadr[found[name]] for name in self.joint_names])
        parts = []
        for names, kind, unit in zip(by_kind, (JOINTS, "slides"), ("rad", "m"), strict=True):
            if names:
                ranges = [_range(model, found[name]) for name in names]
                half = tuple((high - low) / 2 for low, high in ranges)
                middle = tuple((high + low) / 2 for low, high in ranges)
                # Some models begin beyond their own limits, and not all have any
                parts.append(Part(kind, (len(names),), unit, math.inf, half, middle))
        #: What a vector means
        self.layout = PoseLayout(tuple(parts))
        self._half = np.concatenate([part.scale for part in self.layout])
        self._middle = np.concatenate([part.offset for part in self.layout])
        self._kept = self._mujoco.MjData(model)

    def measure(self, env: Any) -> npt.NDArray[np.floating]:
        """Returns the joints as a vector, shape (n_joints,)."""
        return np.asarray((env.data.qpos[self._indices] - self._middle) / self._half)

    def get_state(self, env: Any) -> npt.NDArray[np.float64]:
        """Returns all that the future of the simulation depends on."""
        signature = self._mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(self._mujoco.mj_stateSize(env.model, signature))
        self._mujoco.mj_getState(env.model, env.data, state, signature)
        return state

    def set_state(self, env: Any, state: npt.NDArray[np.float64]) -> None:
        """
        Puts the simulation into a state.

        :param state: What :meth:`get_state` gave
        """
        signature = self._mujoco.mjtState.mjSTATE_INTEGRATION
        self._mujoco.mj_setState(env.model, env.data, state, signature)
        self._mujoco.mj_forward(env.model, env.data)
        # Where the solver begins is part of the state, and has been moved
        self._mujoco.mj_setState(env.model, env.data, state, signature)

    def sample_state(self, env: Any, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Returns the present state with other joint positions, each drawn evenly from its range, at rest."""
        return self.to_state(env, rng.uniform(-1, 1, self.layout.dim))

    def to_state(self, env: Any, goal: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Returns the present state with the joint positions of a vector, at rest."""
        before = self.get_state(env)
        env.data.qpos[self._indices] = self._middle + self._half * goal
        env.data.qvel[:] = 0
        state = self.get_state(env)
        self._mujoco.mj_setState(env.model, env.data, before, self._mujoco.mjtState.mjSTATE_INTEGRATION)
        return state

    def render(self, env: Any) -> Any:
        """Returns a picture of the joints as they are now: after a step, MuJoCo's own shows those before its last part."""
        self._mujoco.mj_copyData(self._kept, env.model, env.data)
        viewer = getattr(getattr(env, "mujoco_renderer", None), "viewer", None)
        if viewer is not None:
            # Another environment that was closed has taken OpenGL's context with it
            viewer.make_context_current()
        try:
            self._mujoco.mj_forward(env.model, env.data)
            return self._env.render()
        finally:
            self._mujoco.mj_copyData(env.data, env.model, self._kept)


def _range(model: Any, joint: int) -> tuple[float, float]:
    if model.jnt_limited[joint]:
        low, high = model.jnt_range[joint]
        return float(low), float(high)
    return (-math.pi, math.pi) if model.jnt_type[joint] == HINGE else (-FREE_SLIDE, FREE_SLIDE)
