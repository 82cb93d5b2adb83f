"""Things that a robot handles, and the table that they lie on."""

from dataclasses import dataclass

from sb3_mimic.envs.models import urdf
from sb3_mimic.envs.world.view import Vector
from sb3_mimic.errors import BodyError

#: What a table and a floor are rubbed with, see Bullet's contacts: the product of both counts
TABLE_FRICTION = 0.5
# Of the table above the floor, and the floor's edge, in m
HEIGHT, FLOOR_SIZE = 0.75, 20.0


@dataclass(frozen=True)
class Block:
    """
    A cube, or a puck.

    :param name: Its name
    :param size: Edge of the cube, in m; the puck's diameter
    :param color: Red, green, blue, each in [0, 1]
    :param mass: In kg
    :param friction: How rough it is: 1 is rubber, 0.1 ice
    :param height: In m; that of a cube by default
    :param is_round: Whether it is a puck
    :raises BodyError: When a size or the mass is not positive
    """

    name: str
    size: float
    color: Vector
    mass: float = 0.5
    friction: float = 1.0
    height: float | None = None
    is_round: bool = False

    def __post_init__(self) -> None:
        for what, value in {"size": self.size, "mass": self.mass, "height": self.half_height}.items():
            if not value > 0:
                raise BodyError(f"The {what} of block '{self.name}' must be positive, got {value}.")

    @property
    def half_height(self) -> float:
        """How high its middle is where it lies, in m"""
        return (self.size if self.height is None else self.height) / 2

    @property
    def look(self) -> str:
        """A piece of URDF: what it looks like"""
        if self.is_round:
            return urdf.cylinder(self.size / 2, 2 * self.half_height, urdf.NO_OFFSET, self.color)
        return urdf.box((self.size, self.size, 2 * self.half_height), urdf.NO_OFFSET, self.color)

    @property
    def model(self) -> str:
        """The text of a URDF, to be simulated"""
        x = y = self.mass * (self.size**2 + 4 * self.half_height**2) / 12
        inertia = urdf.inertial(self.mass, (x, y, self.mass * self.size**2 / 6), urdf.NO_OFFSET)
        rough = f'<contact><lateral_friction value="{self.friction}"/></contact>'
        link = f'<link name="{self.name}">{rough}{inertia}{self.look}{urdf.solid(self.look)}</link>'
        return f'<?xml version="1.0"?><robot name="{self.name}">{link}</robot>'

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints that stand for its freedom in a drawing, as :meth:`drawn` has them"""
        return tuple(f"{self.name}_{part}" for part in ("x", "y", "z", "yaw", "pitch", "roll"))

    def drawn(self, root: str) -> str:
        """
        Writes it as a link that six joints move.

        :param root: The link that does not move
        :return: A piece of URDF
        """
        kinds = ("prismatic",) * 3 + ("revolute",) * 3
        axes = ("1 0 0", "0 1 0", "0 0 1", "0 0 1", "0 1 0", "1 0 0")
        pieces, above = [], root
        for joint, kind, axis in zip(self.joints, kinds, axes, strict=True):
            link = self.name if joint == self.joints[-1] else f"{joint}_link"
            ends = f'<parent link="{above}"/><child link="{link}"/>'
            limit = '<limit lower="-10" upper="10" effort="1" velocity="1"/>'
            pieces.append(f'<joint name="{joint}" type="{kind}">{ends}<axis xyz="{axis}"/>{limit}</joint>')
            pieces.append(f'<link name="{link}">{self.look if link == self.name else ""}</link>')
            above = link
        return "".join(pieces)


@dataclass(frozen=True)
class Table:
    """
    A table whose top is at height 0.

    :param low: Its smallest x and y, in m
    :param high: Its largest x and y, in m
    :param color: Red, green, blue, each in [0, 1]
    :param thickness: In m
    """

    low: tuple[float, float] = (-0.20, -0.42)
    high: tuple[float, float] = (0.92, 0.42)
    color: Vector = (0.80, 0.77, 0.72)
    thickness: float = 0.02

    @property
    def look(self) -> str:
        """A piece of URDF: what it looks like"""
        (x0, y0), (x1, y1) = self.low, self.high
        size = (x1 - x0, y1 - y0, self.thickness)
        return urdf.box(size, ((x0 + x1) / 2, (y0 + y1) / 2, -self.thickness / 2), self.color)

    @property
    def model(self) -> str:
        """The text of a URDF, to be simulated, with the floor: what hits them hard does not go through"""
        (x0, y0), (x1, y1) = self.low, self.high
        middle = (x0 + x1) / 2, (y0 + y1) / 2
        thick = urdf.box((x1 - x0, y1 - y0, 0.2), (*middle, -0.1), self.color)
        floor = urdf.box((FLOOR_SIZE, FLOOR_SIZE, 0.2), (*middle, -HEIGHT - 0.1), self.color)
        rough = f'<contact><lateral_friction value="{TABLE_FRICTION}"/></contact>'
        weight = urdf.inertial(0.0, (0.0, 0.0, 0.0), urdf.NO_OFFSET)
        link = f'<link name="table">{rough}{weight}{self.look}{urdf.solid(thick + floor)}</link>'
        return f'<?xml version="1.0"?><robot name="table">{link}</robot>'
