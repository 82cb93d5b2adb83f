"""Reads a pose better than a translator does: draws what was read, compares it with the picture, and corrects it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic.agents.comparison import PLAIN_LIGHT, SMALLEST, Target, target_of
from sb3_mimic.agents.environments import layer_with
from sb3_mimic.agents.fitting import COARSE_STAGES, EXPLAINING, FINE_STAGES, ROUGH_STAGES, SHARP_STAGES, Fit, Search, Stage
from sb3_mimic.agents.unknowns import Unknowns
from sb3_mimic.errors import InputError, UnsuitableEnvError
from sb3_mimic.pose import JOINTS, PoseLayout

Picture = npt.NDArray[np.uint8]
Pose = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

# Pictures are compared in so many pixels along their longer side first, and then in as many as they have, up to the second
COARSE, FINE = 64, 256
# Pictures of so many times as many are not reduced first
ENOUGH = 1.2
# What is left unexplained of a picture whose pose is right, in levels, of one in its own size and of a reduced one
LEFT, LEFT_REDUCED = 1.0, 2.0
# A noisy picture leaves this many times the noise of its background
NOISY = 1.2
# So often other starts are tried where more is left
N_RESTARTS = 4
# Nor are they where less of the robot and of what is around it is unexplained, as a share of the robot
LEAST_UNEXPLAINED = 0.08
# Nor where JPEG explains so much that this is left, as a share of the robot
EXPLAINED_AFTER_JPEG = 0.1
# From frame to frame of a video: so many times as much may be left as in one that was read by itself; one short stage, and
# how far off what the last frames lead to may be, in rad
SAME_LEFT = 1.5
TRACKED_STAGES, TRACKED_SCALE = (Stage(1, 60.0, 150.0, 2, 2, 1e-3),), 0.03
# More of a robot than this must not be hidden
MOST_HIDDEN = 0.8
# What covers less of the picture, or differs less from what is behind it, is not seen
LEAST_COVERED, LEAST_VISIBLE = 0.002, 0.1
# Where the robot is bright the picture must be brighter, by so much of the difference; more before others than plain ones
LEAST_CONTRAST, LEAST_CONTRAST_BEFORE_OTHERS = 0.15, 0.5
# More of the robot than this share must not be unexplained: before a plain background, and before others, which hide much
LARGEST_RESIDUAL, LARGEST_RESIDUAL_BEFORE_OTHERS = 0.25, 0.15
# A background is another than a plain one where it is as noisy, or where so much of the picture is unexplained
OTHER_BACKGROUND, OTHER_THINGS = 12.0, 0.08
# 90 % of Laplace's distribution lie within this many scales
LAPLACE_90 = math.log(10)
# Found on random poses: stated widths are so many times what is left, and at least what drawing itself leaves, in levels
WIDTH, SHARP_WIDTH, DRAWN_WIDTH = 4.5, 2.2, 6.5
# What is left where the background is less noisy is alike in pixels side by side: widths are so many times larger at most
LARGEST_STRUCTURE = 3.0
# So many times more where the camera is unknown too, and where JPEG has rounded small changes away
MOVED_WIDTH, JPEG_WIDTH = 2.1, 4.0
# A joint is hidden where a picture like this tells it no better, in rad
HIDDEN_WIDTH = math.radians(10)
# What is missing from an environment, by what it is for
NEEDED = {
    "photographs": "which draws it",
    "camera": "where its pictures are taken from",
    "pose_layout": "what its pose vectors mean",
}


@dataclass(frozen=True)
class Reading:
    """
    Describes what was read in a picture.

    :param pose: The pose, shape (dim,), and after it all else that the picture shows, where a pose is not all of it
    :param qpos: Its joint positions, shape (n_joints,), in rad, or m for slides
    :param half_width: How sure each of them is: 90 % of the true ones lie within so much, shape (n_joints,), in rad or m
    :param residual: How much of the robot in that pose the picture does not show: 0 where every pixel is as drawn, 1 where
        nothing is
    :param is_readable: Whether the picture is one of this robot at all
    :param reason: Why not; empty where it is
    :param hidden: Names of joints that the picture hardly shows
    :param estimate: What was read before, shape (dim,)
    :param drawn: The pose as it was drawn, in the size in which it was compared, shape (height, width, 3)
    :param camera: The seven numbers of the camera's place, scaled as the environment's ``camera_parameters`` takes them;
        None where it does not move
    """

    pose: Pose
    qpos: FloatArray
    half_width: FloatArray
    residual: float
    is_readable: bool
    reason: str
    hidden: tuple[str, ...]
    estimate: Pose
    drawn: Picture
    camera: FloatArray | None = None

    @property
    def view(self) -> Pose:
        """Returns all that a translator reads: the pose and, where it moves, the camera's numbers after it."""
        return self.pose if self.camera is None else np.concatenate((self.pose, self.camera)).astype(np.float32)


def can_refine(env: gym.Env[Any, Any]) -> bool:
    """Whether an environment offers all that :func:`refine` needs: photographs of its robot in any pose of joints."""
    return not _missing(env)


def stated_width(layout: PoseLayout, scales: npt.NDArray[np.floating]) -> FloatArray:
    """
    Says how sure a translator is of the joints that it reads.

    :param layout: What a pose vector means
    :param scales: Scales of Laplace distributions of what was read, shape (at least n_joints,)
    :return: 90 % of the true ones lie within so much, shape (n_joints,), in rad or m
    """
    joints = layout[JOINTS]
    return LAPLACE_90 * np.array(joints.scale or 1.0) * np.asarray(scales, np.float64)[joints.slice]


def refine(
    env: gym.Env[Any, Any],
    picture: Picture,
    estimate: npt.NDArray[np.floating],
    scales: npt.NDArray[np.floating] | None = None,
    camera: bool | None = None,
) -> Reading:
    """
    Reads the pose in a picture by drawing it: the robot is photographed in the pose that was read and in poses close by, what
    differs from the picture is brought down by damped steps of Gauss and Newton, and where much is left, other poses are
    tried. Light, colours, background and softness may be other than those of the environment's own pictures.

    :param env: The environment, wrapped or not; its episode stays as it is
    :param picture: Shape (height, width, 3), of any size: it is compared in up to 256 pixels along its longer side
    :param estimate: The pose as a translator read it, shape (dim,) or the joints alone; after a whole pose the seven numbers
        of the camera may follow
    :param scales: How sure that is: scales of Laplace distributions, shape of the estimate, as
        :meth:`~sb3_mimic.translator.base.Translator.read` gives them
    :param camera: Whether the camera may have stood elsewhere; by default where the environment says that it moves
    :return: The pose, and how sure it is
    :raises UnsuitableEnvError: When the environment cannot be photographed in other poses
    :raises InputError: When the picture or the estimate has another shape or type
    """
    _require_photographs(env)
    bare: Any = env.unwrapped
    layout = scene_layout_of(bare)
    estimate = _checked(picture, estimate, scales, layout)
    has_camera = getattr(bare, "camera_ranges", None) is not None if camera is None else camera
    unknowns = Unknowns(bare, layout, estimate, scales, has_camera)
    coarse, search, first, fit = _searched(unknowns, target_of(picture, bare.camera.height, bare.camera.width, FINE))
    return _reading(unknowns, coarse, search, first, fit, layout, estimate)


class Tracker:
    """
    Reads a video by drawing it, frame by frame: each search begins where the last frames lead, and is short. Where that does
    not explain a frame, it is read as a picture by itself. Frames are compared in up to 64 pixels along their longer side.

    :param env: The environment, wrapped or not; its episode stays as it is
    :raises UnsuitableEnvError: When the environment cannot be photographed in other poses
    """

    def __init__(self, env: gym.Env[Any, Any]):
        _require_photographs(env)
        self._env: Any = env.unwrapped
        self._layout = scene_layout_of(self._env)
        self._has_camera = getattr(self._env, "camera_ranges", None) is not None
        # What was found in the last frame and in the one before
        self._last: Fit | None = None
        self._before: Fit | None = None
        # What was left unexplained of the last frame that was read by itself, in levels
        self._left = 0.0

    def read(
        self,
        frame: Picture,
        estimate: npt.NDArray[np.floating],
        scales: npt.NDArray[np.floating] | None = None,
    ) -> Reading:
        """
        Reads the next frame.

        :param frame: Shape (height, width, 3)
        :param estimate: As :func:`refine` takes it; it counts where the frames before lead nowhere
        :param scales: The same
        :return: The pose, and how sure it is
        :raises InputError: When the frame or the estimate has another shape or type
        """
        estimate = _checked(frame, estimate, scales, self._layout)
        target = target_of(frame, self._env.camera.height, self._env.camera.width, COARSE)
        unknowns = Unknowns(self._env, self._layout, estimate, scales, self._has_camera)
        found = self._followed(unknowns, target)
        if found is None:
            coarse, _, first, fit = _searched(unknowns, target)
            found = coarse, first, fit
            self._last, self._left = None, fit.noise
        coarse, first, fit = found
        self._before, self._last = self._last, fit
        return _reading(unknowns, coarse, coarse, first, fit, self._layout, estimate)

    def _followed(self, unknowns: Unknowns, target: Target) -> tuple[Search, Fit, Fit] | None:
        """Returns what is found from where the last frames lead; None where that does not explain the frame."""
        last, before = self._last, self._before
        if last is None:
            return None
        led = last.x if before is None else 2 * last.x - before.x
        unknowns.expect(led, np.full(len(led), TRACKED_SCALE))
        search = Search(unknowns, target, np.random.default_rng(0))
        fit = search.run(led, TRACKED_STAGES, last.photometry, last.background, last.normal)
        # A film that was compressed leaves more, in each frame about as much
        left = max(LEFT_REDUCED if target.is_reduced else LEFT, SAME_LEFT * self._left)
        return (search, fit, fit) if _is_explained(search, fit, left) else None


def _searched(unknowns: Unknowns, target: Target) -> tuple[Search, Search, Fit, Fit]:
    """Returns the searches in few pixels and in the picture's own, and what each has found."""
    rng = np.random.default_rng(0)
    scale = 1.0 if max(target.height, target.width) <= ENOUGH * COARSE else COARSE / max(target.height, target.width)
    reduced = target.reduced(*(max(SMALLEST, round(side * scale)) for side in (target.height, target.width)))
    is_small, left = reduced is target, LEFT if reduced is target else LEFT_REDUCED
    coarse, stages = Search(unknowns, reduced, rng), COARSE_STAGES if is_small else ROUGH_STAGES
    fit = coarse.run(unknowns.estimate, stages, PLAIN_LIGHT)
    color = None if _is_explained(coarse, fit, left) else reduced.in_front(fit.background)
    if color is not None:
        target, reduced = target.without(color), reduced.without(color)
        coarse = Search(unknowns, reduced, rng)
        fit = coarse.run(unknowns.estimate, stages, PLAIN_LIGHT)
    fit = _restarted(coarse, fit, stages, left, is_small)
    if is_small:
        return coarse, coarse, fit, _sharpened(coarse, fit)
    search = Search(unknowns, target, rng)
    finer = fit.normal * (target.height / reduced.height) ** 3
    return coarse, search, fit, _enlarged(search, replace(fit, normal=finer))


def _restarted(search: Search, fit: Fit, stages: Sequence[Stage], left: float, is_whole: bool) -> Fit:
    """
    Looks for what explains a picture better than the pose that was found, where that leaves much: a softer picture, one that
    went through JPEG, or another pose.

    :param search: In few pixels
    :param fit: The pose
    :param stages: Of searches for others
    :param left: What may be left unexplained, in levels
    :param is_whole: Whether the picture has no more pixels than these
    :return: The best that was found
    """
    for _ in range(N_RESTARTS):
        if _is_explained(search, fit, left):
            break
        if is_whole and (found := search.through_jpeg(fit)) is not None:
            found = search.after_jpeg(found, COARSE_STAGES[-1])
            if _residual(*search.explained_after_jpeg(found)[:3]) < EXPLAINED_AFTER_JPEG:
                return found
        soft = search.softened(fit)
        if soft.photometry.softness != fit.photometry.softness:
            fit = search.run(fit.x, stages[1:], soft.photometry)
            continue
        others = [search.run(start, stages, fit.photometry) for start in search.others(fit)]
        # Not the cost: where a bar hides the robot, one in the bar's colours explains more
        fit = min(fit, *others, key=lambda other: other.noise)
    return fit


def _sharpened(search: Search, fit: Fit) -> Fit:
    """Returns a fit after a last look at a picture of few pixels that is noisy, or went through JPEG."""
    if fit.noise <= EXPLAINING or fit.quality is not None:
        return fit
    found = search.through_jpeg(fit)
    if found is not None:
        return search.after_jpeg(found, COARSE_STAGES[-1])
    return search.run(fit.x, SHARP_STAGES, fit.photometry, normal=fit.normal)


def _enlarged(search: Search, fit: Fit) -> Fit:
    """Returns what a fit in few pixels becomes in more."""
    fine = search.run(fit.x, FINE_STAGES, replace(fit.photometry, softness=0), normal=fit.normal)
    is_reduced = search.target.is_reduced
    if fine.noise > max(LEFT_REDUCED, NOISY * fine.background.noise):
        soft = search.softened(fine)
        if soft.photometry.softness:
            fine = search.run(fine.x, FINE_STAGES, soft.photometry, normal=fine.normal)
        if not is_reduced and (found := search.through_jpeg(fine)) is not None:
            fine = search.after_jpeg(found, FINE_STAGES[0])
    return search.averaged(fine, FINE_STAGES[0]) if is_reduced else fine


def _is_explained(search: Search, fit: Fit, left: float) -> bool:
    """Whether so little is left unexplained that other poses need not be tried."""
    if fit.noise < max(left, NOISY * fit.background.noise):
        return True
    covered, wrong, _, others, _ = search.explained(fit)
    return wrong + others < LEAST_UNEXPLAINED * covered


def _reading(
    unknowns: Unknowns,
    coarse: Search,
    search: Search,
    first: Fit,
    fit: Fit,
    layout: PoseLayout,
    estimate: npt.NDArray[np.floating],
) -> Reading:
    env = unknowns.env
    covered, wrong, without, others, hidden = coarse.explained(replace(first, x=fit.x))
    residual = _residual(covered, wrong, without)
    if fit.quality is not None:
        # What JPEG makes of a picture is not the robot's
        residual = _residual(*search.explained_after_jpeg(fit)[:3])
    qpos = unknowns.joints(fit.x).copy()
    spread = np.sqrt(np.diag(np.linalg.pinv(fit.normal)))[: len(qpos)]
    # What is left is no noise where the background has less
    structure = min(max(fit.noise / (NOISY * fit.background.noise), 1.0), LARGEST_STRUCTURE)
    factor = WIDTH if fit.n_blurs else SHARP_WIDTH
    width = math.hypot(factor * structure * fit.noise, DRAWN_WIDTH) * (MOVED_WIDTH if unknowns.has_camera else 1.0)
    if fit.quality is not None:
        width *= JPEG_WIDTH
    half_width = width * spread
    named = getattr(env, "joint_names", None) or [f"joint_{index}" for index in range(len(qpos))]
    seen = width / np.sqrt(np.maximum(fit.seen[: len(qpos)], 1e-12))
    n_pixels = coarse.target.is_known.size
    is_plain = fit.background.noise < OTHER_BACKGROUND and others < OTHER_THINGS * n_pixels
    reason = _reason(fit, is_plain, residual, covered / n_pixels, without / max(covered, 1e-9))
    if hidden > MOST_HIDDEN * (covered + hidden):
        reason = "most of the robot is hidden, or beyond the picture"
    if reason:
        half_width = np.maximum(half_width, LAPLACE_90 * unknowns.scales[: len(qpos)])
    half_width = np.minimum(half_width, (unknowns.high - unknowns.low)[: len(qpos)] / 2)
    return Reading(
        pose=_pose(env, layout, qpos, estimate),
        qpos=qpos,
        half_width=half_width,
        residual=residual,
        is_readable=not reason,
        reason=reason,
        hidden=tuple(name for name, width in zip(named, seen, strict=True) if width > HIDDEN_WIDTH),
        estimate=np.array(estimate, np.float32),
        drawn=search.shown(fit),
        camera=unknowns.camera(fit.x),
    )


def _residual(covered: float, wrong: float, without: float) -> float:
    """Returns how much of the robot a picture does not show, see :class:`Reading`."""
    return min(wrong / max(without, 1e-3 * covered, 1e-9), 1.0)


def _reason(fit: Fit, is_plain: bool, residual: float, covered: float, visible: float) -> str:
    """
    Says why a picture is not one of the robot; empty where it is.

    :param fit: The pose that fits best
    :param is_plain: Whether there is hardly anything else in it
    :param residual: How much of the robot in that pose is not as it should be
    :param covered: Which share of the picture it covers
    :param visible: Which share of it differs from the background
    """
    if covered < LEAST_COVERED or visible < LEAST_VISIBLE:
        return "nothing of the robot can be seen"
    if fit.photometry.contrast < (LEAST_CONTRAST if is_plain else LEAST_CONTRAST_BEFORE_OTHERS):
        return "what is bright of the robot is not bright in the picture"
    if residual > (LARGEST_RESIDUAL if is_plain else LARGEST_RESIDUAL_BEFORE_OTHERS):
        return f"in the pose that fits best, {100 * residual:.0f} % of the robot look different"
    return ""


def scene_layout_of(env: Any) -> PoseLayout:
    """Returns what a pose of an environment's means, and all else that its pictures show, where a pose is not all of it."""
    layout: PoseLayout = getattr(env, "scene_layout", None) or env.pose_layout
    return layout


def _pose(env: Any, layout: PoseLayout, qpos: FloatArray, estimate: npt.NDArray[np.floating]) -> Pose:
    """Returns the pose vector of joint positions; where the environment cannot tell the rest of it, that is as it was read."""
    for tell in ("scene_of", "pose_of"):
        if hasattr(env, tell):
            return np.asarray(getattr(env, tell)(qpos), np.float32)
    joints = layout[JOINTS]
    pose = np.zeros(layout.dim, np.float32)
    pose[: len(estimate)] = estimate[: layout.dim]
    numbers = qpos - np.array(joints.offset or 0.0)
    pose[joints.slice] = numbers / np.array(joints.scale or 1.0)
    return pose


def _missing(env: gym.Env[Any, Any]) -> list[str]:
    bare = env.unwrapped
    missing = [f"'{name}', {what}" for name, what in NEEDED.items() if not hasattr(bare, name)]
    if not missing and layer_with(env, "pose_layout") is not bare:
        # What it shows are not photographs of its robot alone
        missing = ["pictures and poses of its own, not of a wrapper"]
    if not missing and JOINTS not in scene_layout_of(bare):
        missing = ["joints in its pose_layout"]
    return missing


def _require_photographs(env: gym.Env[Any, Any]) -> None:
    missing = _missing(env)
    if missing:
        raise UnsuitableEnvError(
            f"To look again at what was read, {env} needs {' and '.join(missing)}. Do without: refine=False"
        )


def _checked(
    picture: Any,
    estimate: npt.NDArray[np.floating],
    scales: npt.NDArray[np.floating] | None,
    layout: PoseLayout,
) -> npt.NDArray[np.floating]:
    """Returns an estimate as an array, after a check that it, its scales and the picture are what :func:`refine` takes."""
    estimate = np.asarray(estimate)
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f"A picture must be a uint8 array of shape (height, width, 3), got {_told(picture)}")
    if estimate.ndim != 1 or len(estimate) < layout[JOINTS].slice.stop or not np.isfinite(estimate).all():
        raise InputError(f"An estimate must be {layout.dim} finite numbers, or those of the joints alone, got {estimate}")
    if scales is not None and np.shape(scales) != estimate.shape:
        raise InputError(f"There must be one scale for each number read, {len(estimate)}, got shape {np.shape(scales)}")
    return estimate


def _told(picture: Any) -> str:
    return f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
