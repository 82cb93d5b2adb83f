"""What a pose vector means: scaled joint angles, then key points, and the errors between two poses."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# A pose is taken when its worst key point is closer than this (in m)
SUCCESS_DISTANCE = 0.05

# Joints give way at their limits, a little when pushed and more when thrown about: scaled angles are clipped to this
POSE_BOUND = 2.0

FloatArray = npt.NDArray[np.floating]


def norm(vectors: FloatArray) -> FloatArray:
    """:return: Euclidean norm along the last axis; several times faster on small arrays than numpy's"""
    return np.sqrt(np.vecdot(vectors, vectors))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class PoseLayout:
    """
    The layout of a pose vector ``(n_joints + 3 * n_keypoints,)``: joint angles scaled
    to [-1, 1] by their range, followed by the key points' positions in metres.

    All methods accept any number of leading (batch) dimensions.

    :param joint_low: Lower joint limits, in rad
    :param joint_high: Upper joint limits, in rad
    :param n_keypoints: Number of key points
    """

    joint_low: tuple[float, ...]
    joint_high: tuple[float, ...]
    n_keypoints: int
    n_joints: int = field(init=False)
    #: Half of each joint's range, shape (n_joints,), in rad: the angle that one scaled unit stands for
    half_range: tuple[float, ...] = field(init=False, repr=False)
    _middle: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.joint_low) != len(self.joint_high) or not len(self.joint_low):
            raise ValueError(
                f"joint_low and joint_high must have one entry per joint, got {self.joint_low}, {self.joint_high}"
            )
        if any(low >= high for low, high in zip(self.joint_low, self.joint_high, strict=True)):
            raise ValueError(f"Every lower joint limit must be below its upper one, got {self.joint_low}, {self.joint_high}")
        if self.n_keypoints < 1:
            raise ValueError(f"A pose needs at least one key point, got n_keypoints={self.n_keypoints}")
        # Kept ready: they are needed several times at every step
        object.__setattr__(self, "n_joints", len(self.joint_low))
        limits = list(zip(self.joint_low, self.joint_high, strict=True))
        object.__setattr__(self, "half_range", tuple((high - low) / 2 for low, high in limits))
        object.__setattr__(self, "_middle", tuple((high + low) / 2 for low, high in limits))

    @property
    def dim(self) -> int:
        return self.n_joints + 3 * self.n_keypoints

    def pack(self, qpos: FloatArray, keypoints: FloatArray) -> npt.NDArray[np.float32]:
        """
        :param qpos: Joint angles, shape (n_joints,), in rad
        :param keypoints: Key points, shape (n_keypoints, 3), in m
        :return: The pose vector, shape (dim,)
        """
        # Plain numbers: several times faster than small arrays, and this runs at every step
        scaled = [(q - middle) / half for q, middle, half in zip(qpos.tolist(), self._middle, self.half_range, strict=True)]
        scaled = [min(max(angle, -POSE_BOUND), POSE_BOUND) for angle in scaled]
        return np.array(scaled + keypoints.ravel().tolist(), np.float32)

    def joints(self, pose: FloatArray) -> FloatArray:
        """:return: Joint angles, shape (..., n_joints), in rad"""
        scaled = np.asarray(pose)[..., : self.n_joints]
        return np.asarray(scaled * np.array(self.half_range) + np.array(self._middle))

    def keypoints(self, pose: FloatArray) -> FloatArray:
        """:return: Key points, shape (..., n_keypoints, 3), in m"""
        pose = np.asarray(pose)
        return pose[..., self.n_joints :].reshape(*pose.shape[:-1], self.n_keypoints, 3)

    def keypoint_distances(self, pose: FloatArray, other: FloatArray) -> FloatArray:
        """:return: Distance of each key point to its counterpart, shape (..., n_keypoints), in m"""
        difference = (pose - other)[..., self.n_joints :]
        return norm(difference.reshape((*difference.shape[:-1], self.n_keypoints, 3)))

    def joint_error(self, pose: FloatArray, other: FloatArray) -> FloatArray:
        """:return: Mean absolute angle difference over the joints, shape (...,), in deg"""
        difference = np.asarray(pose)[..., : self.n_joints] - np.asarray(other)[..., : self.n_joints]
        return np.rad2deg(np.abs(difference * np.array(self.half_range)).mean(axis=-1))  # type: ignore[no-any-return]

    def keypoint_error(self, pose: FloatArray, other: FloatArray) -> FloatArray:
        """:return: Mean distance over the key points, shape (...,), in cm"""
        return np.asarray(100 * self.keypoint_distances(pose, other).mean(axis=-1))
