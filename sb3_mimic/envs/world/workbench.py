"""A robot with things before it on a table."""

import itertools
from typing import Any

import numpy as np
import pybullet as p

from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.world.blocks import Block, Table
from sb3_mimic.envs.world.body import Body
from sb3_mimic.envs.world.robot import FloatArray, Robot
from sb3_mimic.envs.world.simulation import Simulation

# Of each block: position and yaw, pitch, roll
N_FREEDOMS = 6
# No block is farther from the origin, in m
FARTHEST = 10.0
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


class Workbench(Robot):
    """
    A robot, and blocks that it can touch. Positions of the blocks follow those of the robot's joints: of each its x, y and z,
    in m, and its yaw, pitch and roll, in rad.

    :param simulation: The world to put all of it into
    :param body: What the robot is made of
    :param blocks: What lies before it
    :param table: What they lie on
    :raises BodyError: When the robot's model is missing, damaged, or lacks a named joint or link
    """

    has_contacts = True

    def __init__(self, simulation: Simulation, body: Body, blocks: tuple[Block, ...], table: Table):
        self.blocks, self.table = blocks, table
        super().__init__(simulation, body)

    def twin(self, simulation: Simulation) -> "Workbench":
        return Workbench(simulation, self.body, self.blocks, self.table)

    def load(self) -> None:
        self._blocks: list[int] = []
        super().load()
        simulation = self.simulation
        simulation.load(self.table.model, name="the table")
        self._blocks = [simulation.load(block.model, is_fixed=False, name=f"block '{block.name}'") for block in self.blocks]
        # Contacts that the world remembers end where bodies are apart: an episode starts with none of the last
        for index, block in enumerate(self._blocks, 1):
            p.resetBasePositionAndOrientation(block, (0.0, 0.0, FARTHEST * index), UPRIGHT, physicsClientId=simulation.client)
        limits = np.tile((FARTHEST,) * 3 + (np.pi,) * 3, len(self.blocks))
        self.joint_low = np.concatenate((self.joint_low, -limits))
        self.joint_high = np.concatenate((self.joint_high, limits))
        self.refresh()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.simulation.is_open:
            for block, (linear, angular) in zip(self._blocks, np.reshape(state["block_velocities"], (-1, 2, 3)), strict=True):
                p.resetBaseVelocity(block, linear, angular, physicsClientId=self.simulation.client)
            self.refresh()

    @property
    def n_arm(self) -> int:
        """Number of the robot's own joints"""
        return len(self._joints)

    @property
    def n_joints(self) -> int:
        return len(self._joints) + N_FREEDOMS * len(self._blocks)

    @property
    def joint_names(self) -> tuple[str, ...]:
        return (*self.body.joints, *itertools.chain.from_iterable(block.joints for block in self.blocks))

    def drawn_model(self) -> UrdfFile:
        """Returns all that is to be seen, as one robot: blocks are links that six joints move."""
        text = self.body.model
        assert isinstance(text, str), "what is made of meshes is drawn by PyBullet"
        root = self.body.read_model().root
        blocks = "".join(block.drawn(root) for block in self.blocks)
        marker = f'<link name="{root}">'
        return UrdfFile(text.replace(marker, marker + self.table.look, 1).replace("</robot>", f"{blocks}</robot>"))

    def reset(self, qpos: FloatArray, qvel: FloatArray | None = None) -> None:
        """
        Puts the robot and the blocks somewhere, without physics; blocks are at rest.

        :param qpos: Positions of the joints and of the blocks, shape (n_joints,)
        :param qvel: Joint velocities, shape (at least n_arm,), in rad/s or m/s; at rest by default
        """
        n, client = self.n_arm, self.simulation.client
        for block, place in zip(self._blocks, np.reshape(qpos[n:], (-1, N_FREEDOMS)).tolist(), strict=True):
            yaw, pitch, roll = place[3:]
            turn = p.getQuaternionFromEuler((roll, pitch, yaw))
            p.resetBasePositionAndOrientation(block, place[:3], turn, physicsClientId=client)
            p.resetBaseVelocity(block, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), physicsClientId=client)
        super().reset(qpos[:n], None if qvel is None else qvel[:n])

    def refresh(self) -> None:
        """Reads joints, key points and blocks anew; to be called once after the world has moved."""
        client = self.simulation.client
        self._states = states = p.getJointStates(self._id, self._joints, physicsClientId=client)
        positions = [state[0] for state in states]
        self.qvel = np.array([state[1] for state in states])
        links = p.getLinkStates(
            self._id, self._links, computeLinkVelocity=1, computeForwardKinematics=1, physicsClientId=client
        )
        self._read_links(links)
        #: Of each block: velocity, in m/s, and angular velocity, in rad/s
        self.block_velocities: list[float] = []
        for block in self._blocks:
            (x, y, z), turn = p.getBasePositionAndOrientation(block, physicsClientId=client)
            roll, pitch, yaw = p.getEulerFromQuaternion(turn)
            positions += (x, y, z, yaw, pitch, roll)
            linear, angular = p.getBaseVelocity(block, physicsClientId=client)
            self.block_velocities += (*linear, *angular)
        self.qpos = np.array(positions)

    def _read_links(self, links: Any) -> None:
        super()._read_links(links)
        # Of the outermost link's centre of mass
        index, _ = self._offsets[-1]
        x, y, z = self.keypoints[-1].tolist()
        (vx, vy, vz), (wx, wy, wz) = links[index][6], links[index][7]
        dx, dy, dz = (a - b for a, b in zip((x, y, z), links[index][0], strict=True))
        #: Velocity of the last key point, in m/s
        self.tip_velocity = (vx + wy * dz - wz * dy, vy + wz * dx - wx * dz, vz + wx * dy - wy * dx)

    def block_positions(self) -> FloatArray:
        """Returns where the blocks are, shape (n_blocks, 3), in m."""
        return self.blocks_of(self.qpos)[:, :3]

    def blocks_of(self, qpos: FloatArray) -> FloatArray:
        """Returns of each block its position, yaw, pitch and roll, shape (n_blocks, 6), in m and rad."""
        return qpos[self.n_arm :].reshape(-1, N_FREEDOMS)

    def edges(self) -> list[FloatArray]:
        """Returns lines around the upper sides of the blocks, shape (5, 3) each, in m."""
        corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1)])
        lines = []
        for block, place in zip(self.blocks, self.blocks_of(self.qpos).tolist(), strict=True):
            turn = np.reshape(p.getMatrixFromQuaternion(p.getQuaternionFromEuler((place[5], place[4], place[3]))), (3, 3))
            upper = np.column_stack((corners * block.size / 2, np.full(5, block.half_height)))
            lines.append(place[:3] + upper @ turn.T)
        return lines

    def apply(self, action: list[float]) -> None:
        self.body.control.apply(self.simulation.client, self._motors, action, self.qpos[: self.n_arm])
