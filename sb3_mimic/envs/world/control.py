"""Ways to turn an action in [-1, 1] into motor commands."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pybullet as p

Control = Callable[[int, int, Sequence[int], npt.NDArray[np.floating], Sequence[float]], None]


def torque(
    client: int,
    body: int,
    joints: Sequence[int],
    action: npt.NDArray[np.floating],
    max_torque: Sequence[float],
) -> None:
    """
    Drive the joints with torques.

    :param client: PyBullet client
    :param body: PyBullet body
    :param joints: Joint indices
    :param action: Fractions of the maximum torque, shape (n_joints,), within [-1, 1]
    :param max_torque: Shape (n_joints,), in Nm
    """
    forces = [fraction * largest for fraction, largest in zip(action.tolist(), max_torque, strict=True)]
    p.setJointMotorControlArray(body, joints, p.TORQUE_CONTROL, forces=forces, physicsClientId=client)
