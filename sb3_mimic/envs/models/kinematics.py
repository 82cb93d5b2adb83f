"""Where the links of a robot are, computed from its joints alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.models.urdf_file import HINGES, SLIDES, UrdfFile, resting
from sb3_mimic.jit import jit

FloatArray = npt.NDArray[np.float64]

# How a link moves against the one above it
FIXED, HINGE, SLIDE = 0, 1, 2


class Kinematics:
    """
    The tree of a robot's links, in arrays that compiled code can walk through.

    :param file: The robot
    :param joints: Names of the joints that move it, in the order of their positions
    :param posture: Where other joints are held, in rad or m; at 0, or at the limit next to it, by default
    """

    def __init__(self, file: UrdfFile, joints: Sequence[str], posture: Mapping[str, float] | None = None):
        held = posture or {}
        order = [file.root]
        for link in order:
            order += [joint.child for joint in file.joints.values() if joint.parent == link]
        #: Names of the links, each after the one that carries it
        self.links = tuple(order)
        n = len(order)
        #: Of each link: the one that carries it, how it moves, and by which of the positions
        self.parents, self.kinds, self.driven = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        #: Of each link: where its joint is on the link above, shape (n_links, 3, 4), and the joint's axis, (n_links, 3)
        self.places, self.axes = np.zeros((n, 3, 4)), np.zeros((n, 3))
        for index, name in enumerate(order[1:], 1):
            joint = file.above[name]
            self.parents[index] = order.index(joint.parent)
            self.axes[index] = joint.axis
            if joint.name in joints:
                self.kinds[index] = HINGE if joint.kind in HINGES else SLIDE
                self.driven[index] = list(joints).index(joint.name)
                self.places[index] = joint.placement[:3]
            else:
                is_movable = joint.kind in HINGES + SLIDES
                position = held.get(joint.name, resting(joint)) if is_movable else 0.0
                self.places[index] = joint.transform(position)[:3]
        self.places[0, :, :3] = np.eye(3)

    def forward(self, qpos: npt.NDArray[np.floating], base: FloatArray | None = None) -> FloatArray:
        """
        Computes where all links are.

        :param qpos: Joint positions, shape (n_joints,), in rad, or m for slides
        :param base: Where the first link is, shape (3, 4); at the origin by default
        :return: Rotation and position of each link, shape (n_links, 3, 4)
        """
        out = np.empty((len(self.links), 3, 4))
        start = self.places[0] if base is None else base
        forward(self.parents, self.kinds, self.driven, self.places, self.axes, np.asarray(qpos, np.float64), start, out)
        return out


@jit
def forward(
    parents: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.int64],
    driven: npt.NDArray[np.int64],
    places: FloatArray,
    axes: FloatArray,
    qpos: FloatArray,
    base: FloatArray,
    out: FloatArray,
) -> None:
    """
    Computes where all links are. See :class:`Kinematics`.

    :param base: Where the first link is, shape (3, 4)
    :param out: Rotation and position of each link, shape (n_links, 3, 4); written to
    """
    # An array that is written into a part of another takes seconds to compile, for the sake of an error in words
    for row in range(3):
        for column in range(4):
            out[0, row, column] = base[row, column]
    joint = np.empty((3, 3))
    for link in range(1, len(parents)):
        above, place = out[parents[link]], places[link]
        kind, q = kinds[link], qpos[driven[link]] if kinds[link] != FIXED else 0.0
        shift = q if kind == SLIDE else 0.0
        x, y, z = axes[link, 0], axes[link, 1], axes[link, 2]
        if kind == HINGE:
            # Rodrigues' formula
            s, c = np.sin(q), np.cos(q)
            k = 1.0 - c
            joint[0, 0], joint[0, 1], joint[0, 2] = c + k * x * x, k * x * y - s * z, k * x * z + s * y
            joint[1, 0], joint[1, 1], joint[1, 2] = k * x * y + s * z, c + k * y * y, k * y * z - s * x
            joint[2, 0], joint[2, 1], joint[2, 2] = k * x * z - s * y, k * y * z + s * x, c + k * z * z
        for row in range(3):
            a, b, c_ = above[row, 0], above[row, 1], above[row, 2]
            r0 = a * place[0, 0] + b * place[1, 0] + c_ * place[2, 0]
            r1 = a * place[0, 1] + b * place[1, 1] + c_ * place[2, 1]
            r2 = a * place[0, 2] + b * place[1, 2] + c_ * place[2, 2]
            moved = above[row, 3] + a * place[0, 3] + b * place[1, 3] + c_ * place[2, 3]
            out[link, row, 3] = moved + shift * (r0 * x + r1 * y + r2 * z)
            if kind == HINGE:
                out[link, row, 0] = r0 * joint[0, 0] + r1 * joint[1, 0] + r2 * joint[2, 0]
                out[link, row, 1] = r0 * joint[0, 1] + r1 * joint[1, 1] + r2 * joint[2, 1]
                out[link, row, 2] = r0 * joint[0, 2] + r1 * joint[1, 2] + r2 * joint[2, 2]
            else:
                out[link, row, 0], out[link, row, 1], out[link, row, 2] = r0, r1, r2
