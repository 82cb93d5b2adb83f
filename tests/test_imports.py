"""The floors of the house: an import only ever goes down, and the two wings meet only at the keys and the roof."""

import ast
import importlib
import importlib.util
import time
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sb3_mimic

PACKAGE = Path(sb3_mimic.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up: rooms, which are modules or packages. An import goes down a floor or stays in its room, and the
# two wings do not meet: below the floor of the agents they share nothing but the ground.
GROUND = "ground"
ENVS, NETS, ROOF = "envs wing", "nets wing", "roof"
HOUSE: list[dict[str, str]] = [
    {"keys": GROUND, "errors": GROUND, "pose": GROUND, "jit": GROUND, "writing": GROUND, "pictures": GROUND},
    {"envs.models": ENVS, "extractors": NETS, "data": NETS, "her": NETS, "annealing": NETS, "checkpoints": ROOF},
    {"envs.world": ENVS, "envs.mujoco_scene": ENVS, "translator": NETS, "runs": ROOF},
    {"envs.sight": ENVS, "envs.tasks": ENVS, "envs.base_env": ENVS, "policies": NETS, "foresight": NETS},
    {"envs.bodies": ENVS, "envs.viewer": ENVS, "envs.photographed_env": ENVS, "agents": ROOF, "tuning": ROOF},
    {"envs.mimic_env": ENVS, "envs.walk_env": ENVS, "zoo": ROOF, "hub": ROOF},
    {"envs.make": ENVS, "envs.manipulation": ENVS, "envs.registration": ENVS, "envs.picture_goals": ENVS, "cli": ROOF},
    {"": ROOF, "__main__": ROOF, "imitation": ROOF},
]
MAX_FLOORS, MAX_LOOSE_MODULES = 8, 8
FLOORS = {room: (wing, floor) for floor, rooms in enumerate(HOUSE) for room, wing in rooms.items()}

# What a wing does without
FORBIDDEN = {
    ENVS: {"torch", "stable_baselines3", "sb3_contrib", "rl_zoo3"},
    NETS: {"pybullet", "rl_zoo3"},
    ROOF: {"pybullet"},
    GROUND: {"pybullet", "torch", "stable_baselines3", "sb3_contrib", "rl_zoo3", "gymnasium"},
}


def room_of(name: str) -> str:
    """:return: The room that a module of ours is in"""
    while name not in FLOORS:
        assert "." in name, f"{name} has no floor"
        name = name.rpartition(".")[0]
    return name


def module_name(file: Path) -> str:
    name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix("__init__").rstrip(".")


MODULES = {f"sb3_mimic.{module_name(file)}" for file in FILES}


def imports_of(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            assert node.module is not None
            for alias in node.names:
                assert alias.name != "*", f"{file} has a wildcard import"
                inner = f"{node.module}.{alias.name}"
                found.append(inner if inner in MODULES else node.module)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_only_go_down(file):
    name = module_name(file)
    if name == "envs":
        assert not file.read_text().strip(), f"{file} is to stay empty"
        return
    room = room_of(name)
    wing, floor = FLOORS[room]
    for imported in imports_of(file):
        assert imported.split(".")[0] not in FORBIDDEN[wing], f"{name} imports {imported}"
        if not imported.startswith("sb3_mimic"):
            continue
        other = room_of(imported.removeprefix("sb3_mimic").lstrip("."))
        if other == room:
            continue
        other_wing, other_floor = FLOORS[other]
        assert other_floor < floor or wing == other_wing == GROUND, f"{name} imports {imported}, which is not below it"
        assert other_wing in (wing, GROUND) or wing == ROOF, f"{name} ({wing}) imports {imported} ({other_wing})"


def test_no_module_imports_itself_through_others():
    graph = {module_name(file): set() for file in FILES}
    for file in FILES:
        for imported in imports_of(file):
            target = imported.removeprefix("sb3_mimic").lstrip(".")
            if imported.startswith("sb3_mimic.") and target in graph:
                graph[module_name(file)].add(target)
    # Prepare raises CycleError
    TopologicalSorter(graph).prepare()


def test_the_house_is_low_and_its_hall_is_tidy():
    assert len(HOUSE) <= MAX_FLOORS
    loose = [file.stem for file in PACKAGE.glob("*.py") if not file.stem.startswith("__")]
    assert len(loose) <= MAX_LOOSE_MODULES, loose


def test_importing_is_light(run_python):
    code = (
        "import gymnasium, time, sys; start = time.perf_counter(); import sb3_mimic;"
        "print('took', time.perf_counter() - start); print('heavy', {'torch', 'pybullet'} & set(sys.modules))"
    )
    printed = run_python("-c", code)
    assert "heavy set()" in printed
    assert float(printed.split("took")[1].split()[0]) < 0.1


def test_every_package_says_what_it_offers():
    for file in PACKAGE.rglob("__init__.py"):
        name = module_name(file)
        if name != "envs":
            package = importlib.import_module(f"sb3_mimic.{name}".rstrip("."))
            assert package.__all__, name
            for offered in package.__all__:
                is_module = offered.isidentifier() and importlib.util.find_spec(f"{package.__name__}.{offered}")
                assert hasattr(package, offered) or is_module, f"{name} offers {offered}"


def test_every_file_says_its_one_job_and_docstrings_begin_with_a_sentence():
    for file in FILES:
        source = file.read_text()
        if not source.strip():
            continue
        tree = ast.parse(source)
        assert ast.get_docstring(tree), f"{file} does not say what it is for"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                docstring = ast.get_docstring(node) or "Nothing"
                assert not docstring.startswith((":param", ":return", ":raises")), f"{file}: {node.name}"


def test_help_is_quick(run_python):
    start = time.perf_counter()
    assert "photograph" in run_python("-m", "sb3_mimic", "--help")
    assert "torch" not in run_python("-X", "importtime", "-m", "sb3_mimic", "--help")
    assert time.perf_counter() - start < 20
