"""A controller written by hand: what a demonstrator would do with things on a table."""

import math

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.tasks.manipulation import ManipulationGoal
from sb3_mimic.envs.world.arm_control import EndEffector
from sb3_mimic.envs.world.blocks import TABLE_FRICTION, Block
from sb3_mimic.errors import EnvArgumentError

Point = npt.NDArray[np.floating]

# On the way to a block and over others, the hand is so far above, in m
ABOVE = 0.09
# Less than this it need not go up first, in m
LOW = 0.03
# So near, the hand is where it is to be, and, on its way down, so near from the side, in m
THERE, OVER = 0.015, 0.010
# Of the way that is left, what is carried goes so much in a step
CAREFUL = 0.7
OPEN, CLOSED = 1.0, -1.0
# Fingers hold a block when they are no further apart than it is wide and so much, in m
SLACK = 0.005
# A block is where it is to be when it is so near, in m
DONE = 0.02
# A hand that pushes is behind the middle of a block, by half of its size and so much, in m; so far off the line to the goal
# at most, as a part of the way behind
BEHIND, ASIDE = 0.02, 0.35
# Of the speed that would just take a puck to its goal, it is given so much
PUSHED_OFF = 1.0


def demonstrate(goal: ManipulationGoal, desired: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """
    Acts as a demonstrator would, from where things are.

    :param goal: What is asked for, and of whom; the hand must be what is driven
    :param desired: Where things are to be, shape (layout.dim,), in m
    :return: An action, shape (3,), or (4,) for a hand that grips, in [-1, 1]
    :raises EnvArgumentError: When the joints are driven
    """
    bench, task = goal.bench, goal.task
    control = bench.body.control
    if not isinstance(control, EndEffector):
        raise EnvArgumentError("Only with control='end_effector' there are demonstrations: joints are not driven by hand.")
    tip, blocks, targets = bench.keypoints[-1], bench.block_positions(), np.reshape(desired, (-1, 3))
    if not task.blocks:
        way, gripper = targets[0] - tip, CLOSED
    elif task.grips:
        width = float(bench.qpos[bench.n_arm - 2 : bench.n_arm].sum())
        way, gripper = _carry(tip, width, blocks, targets, task.blocks)
    elif float(np.abs(targets[0, :2]).max()) > control.high[0]:
        way, gripper = (
            _strike(tip, blocks[0], bench.block_velocities[:2], targets[0], task.blocks[0], bench.simulation.dt),
            CLOSED,
        )
    else:
        way, gripper = _push(tip, blocks[0], targets[0], task.blocks[0]), CLOSED
    action = np.array([*(way / control.step), gripper] if task.grips else way / control.step, np.float32)
    return np.clip(action, -1, 1)


def _approach(tip: Point, place: Point) -> Point:
    """Returns the way of a hand to a place on the table: up, over it, and down."""
    x, y, z = place - tip
    if math.hypot(x, y) <= (THERE if z >= 0 else OVER):
        return np.array((x, y, z))
    up = z + ABOVE
    return np.array((0.0, 0.0, up) if up > LOW else (x, y, up))


def _carry(tip: Point, width: float, blocks: Point, targets: Point, shapes: tuple[Block, ...]) -> tuple[Point, float]:
    """Returns the way of the hand, and what the gripper does: blocks are taken to their goals one after the other."""
    for index, (block, target, shape) in enumerate(zip(blocks, targets, shapes, strict=True)):
        off, rest = block - tip, target - block
        is_between = bool((np.abs(off) < THERE).all())
        is_held = is_between and width < shape.size + SLACK
        if math.hypot(*rest) < DONE:
            if index == 0 and target[2] > shape.half_height + DONE:
                return (CAREFUL * rest, CLOSED) if is_held else (off, CLOSED)
            if is_held:
                return np.zeros(3), OPEN
            continue
        if not is_held:
            return (off, CLOSED) if is_between else (_approach(tip, block), OPEN)
        if index and math.hypot(*rest[:2]) > OVER:
            # Over what it is to stand on
            lift = target[2] + shape.size - block[2]
            return np.array((0.0, 0.0, lift) if lift > LOW else (*(CAREFUL * rest[:2]), lift)), CLOSED
        return CAREFUL * rest, CLOSED
    return np.array((0.0, 0.0, max(ABOVE + float(targets[-1, 2]) - tip[2], 0.0))), OPEN


def _behind(block: Point, target: Point, shape: Block) -> tuple[Point, Point]:
    """Returns the direction from a block to where it is to be, and where the hand begins to push, both on the table."""
    way = target[:2] - block[:2]
    ahead = way / max(float(np.linalg.norm(way)), 1e-6)
    return ahead, block[:2] - ahead * (shape.size / 2 + BEHIND)


def _push(tip: Point, block: Point, target: Point, shape: Block, speed: float = 0.03) -> Point:
    """Returns the way of a hand that pushes a block, by so many m in a step."""
    ahead, start = _behind(block, target, shape)
    rest = float((target - block)[:2] @ ahead)
    off = tip[:2] - block[:2]
    along, across = float(off @ ahead), float(off[0] * ahead[1] - off[1] * ahead[0])
    is_down = tip[2] < 2 * shape.half_height + SLACK
    if is_down and -2.5 * shape.size < along < -shape.size / 2 and abs(across) < ASIDE * shape.size and rest > DONE / 2:
        # Onto the line, and along it
        side = np.array((-ahead[1], ahead[0])) * across
        return np.array((*(side + ahead * min(speed, max(rest, 0.01))), shape.half_height - tip[2]))
    if rest < 2 * DONE:
        return np.array((0.0, 0.0, max(ABOVE - tip[2], 0.0)))
    return _approach(tip, np.array((*start, shape.half_height)))


def _strike(tip: Point, block: Point, velocity: list[float], target: Point, shape: Block, dt: float) -> Point:
    """Returns the way of a hand that pushes a puck off, as fast as will take it to its goal."""
    ahead, _ = _behind(block, target, shape)
    rest = float((target - block)[:2] @ ahead)
    needed = PUSHED_OFF * math.sqrt(2 * 9.81 * TABLE_FRICTION * shape.friction * max(rest, 0.0))
    if float(np.array(velocity) @ ahead) > 0.95 * needed:
        # It is on its way
        return np.array((*(-dt * needed * ahead), ABOVE))
    return _push(tip, block, target, shape, needed * dt)
