"""What is to be seen of a robot: capsules, spheres, cylinders and boxes on its links."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.models.kinematics import Kinematics
from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.world.body import Body
from sb3_mimic.errors import BodyError

FloatArray = npt.NDArray[np.float64]

# A sphere is a capsule of no length
CAPSULE, CYLINDER, BOX = 0, 1, 2
# Of what has no colour in its file, as PyBullet draws it
DEFAULT_COLOR = (1.0, 1.0, 1.0)


class Scene:
    """
    The shapes of a robot, in arrays that compiled code can draw.

    :param file: The robot; its visual shapes must be capsules, spheres, cylinders or boxes
    :param kinematics: How its links move
    :raises BodyError: When it is made of meshes, or a shape makes no sense
    """

    def __init__(self, file: UrdfFile, kinematics: Kinematics):
        self.kinematics = kinematics
        kinds, links, frames, sizes, colors = [], [], [], [], []
        palette = {material.get("name", ""): material for material in file.tree.findall("material")}
        for link in file.tree.findall("link"):
            for visual in link.findall("visual"):
                kind, size = _shape(visual, file.name)
                kinds.append(kind)
                links.append(kinematics.links.index(link.get("name", "")))
                frames.append(file.origin_of(visual)[:3])
                sizes.append(size)
                colors.append(_color(visual, palette))
        #: Of each shape: what it is, and the link it is on
        self.kinds, self.links = np.array(kinds, np.int64), np.array(links, np.int64)
        #: Of each shape: where it is on its link, shape (n_shapes, 3, 4); its sizes in m, shape (n_shapes, 3): radius and
        #: half of the length of what is round, half of the edges of a box
        self.frames, self.sizes = np.array(frames).reshape(-1, 3, 4), np.array(sizes, np.float64).reshape(-1, 3)
        #: Red, green and blue of each shape, in [0, 1], shape (n_shapes, 3)
        self.colors = np.array(colors, np.float64).reshape(-1, 3)

    @classmethod
    def of(cls, body: Body, file: UrdfFile | None = None) -> "Scene | None":
        """
        Returns what is to be seen of a body, or None where it is made of meshes, or of nothing.

        :param body: The body
        :param file: Its model, where that has been read already
        """
        file = file or body.read_model()
        if file.tree.find("link/visual/geometry/mesh") is not None or file.tree.find("link/visual/geometry") is None:
            return None
        return cls(file, Kinematics(file, body.joints, dict(body.posture)))


def _shape(visual: ElementTree.Element, name: str) -> tuple[int, tuple[float, float, float]]:
    geometry = visual.find("geometry")
    shape = None if geometry is None else next(iter(geometry), None)
    tag = "nothing" if shape is None else shape.tag
    try:
        assert shape is not None
        if tag == "box":
            x, y, z = (float(edge) / 2 for edge in shape.attrib["size"].split())
            return BOX, (x, y, z)
        if tag == "sphere":
            return CAPSULE, (float(shape.attrib["radius"]), 0.0, 0.0)
        if tag in ("capsule", "cylinder"):
            return (CAPSULE if tag == "capsule" else CYLINDER), (
                float(shape.attrib["radius"]),
                float(shape.attrib["length"]) / 2,
                0.0,
            )
    except (AssertionError, KeyError, ValueError) as error:
        raise BodyError(f"A <{tag}> in {name} cannot be drawn: {error!r}. Give it numbers, in m.") from error
    raise BodyError(f"A <{tag}> in {name} cannot be drawn. Shapes are box, sphere, capsule and cylinder.")


def _color(visual: ElementTree.Element, palette: dict[str, ElementTree.Element]) -> tuple[float, ...]:
    material = visual.find("material")
    if material is not None and material.find("color") is None:
        material = palette.get(material.get("name", ""))
    color = None if material is None else material.find("color")
    return DEFAULT_COLOR if color is None else tuple(float(part) for part in color.get("rgba", "1 1 1 1").split()[:3])
