"""The floors of the house: an import only ever goes down, and the two wings meet only at the keys and the roof."""

import ast
import time
from pathlib import Path

import pytest

import sb3_mimic

PACKAGE = Path(sb3_mimic.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up. A module may import from lower floors of its own wing, and from the ground.
GROUND = [["keys", "pose", "errors"]]
WING_E = [
    ["envs.simulation", "envs.rewards", "envs.urdf", "envs.mjcf", "envs.checks"],
    ["envs.control", "envs.camera"],
    ["envs.robot"],
    ["envs.goals", "envs.display", "envs.walker"],
    ["envs.mimic_env"],
    ["envs.pose_env"],
    ["envs.reacher", "envs.humanoid", "envs.walk"],
    ["envs.registration"],
]
WING_N = [
    ["extractors.checks", "extractors.layers", "annealing"],
    ["extractors.state", "extractors.reading"],
    ["extractors.pixel", "extractors.fused"],
    ["translator.base", "translator.dataset"],
    ["translator.convnet"],
    ["translator.training", "translator.files"],
    ["translator.callback"],
    ["policies"],
]
ROOF = [
    ["run_file", "venv_state", "arguments", "search", "sampling", "examination", "studies"],
    ["run_state", "trials"],
    ["checkpoints"],
    ["resuming"],
    ["zoo", "pictures", "report"],
    ["agents", "card", "launcher", "retraining"],
    ["imitation", "publishing"],
    ["evaluation"],
    ["cli"],
    ["__main__"],
    [""],
]

FORBIDDEN = {"wing E": {"torch", "stable_baselines3", "sb3_contrib"}, "wing N": {"pybullet"}}


def modules_of(wing: list[list[str]]) -> dict[str, int]:
    return {name: floor for floor, names in enumerate(wing) for name in names}


FLOORS = {
    **{name: ("ground", 0) for name in modules_of(GROUND)},
    **{name: ("wing E", floor) for name, floor in modules_of(WING_E).items()},
    **{name: ("wing N", floor) for name, floor in modules_of(WING_N).items()},
    **{name: ("roof", floor) for name, floor in modules_of(ROOF).items()},
}


def module_name(file: Path) -> str:
    name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix("__init__").rstrip(".")


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
                inner = f"{node.module}.{alias.name}".removeprefix("sb3_mimic.")
                found.append(f"sb3_mimic.{inner}" if node.module.startswith("sb3_mimic") and inner in FLOORS else node.module)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_only_go_down(file):
    name = module_name(file)
    if file.name == "__init__.py" and name:
        assert not file.read_text().strip(), f"{file} is to stay empty"
        return
    wing, floor = FLOORS[name]
    for imported in imports_of(file):
        assert imported.split(".")[0] not in FORBIDDEN.get(wing, set()), f"{name} imports {imported}"
        if not imported.startswith("sb3_mimic"):
            continue
        other_wing, other_floor = FLOORS[imported.removeprefix("sb3_mimic").lstrip(".")]
        if other_wing == wing:
            assert other_floor < floor or wing == "ground", f"{name} imports {imported}, which is not below it"
        else:
            assert other_wing == "ground" or wing == "roof", f"{name} ({wing}) imports {imported} ({other_wing})"


def test_importing_is_light(run_python):
    code = (
        "import gymnasium, time, sys; start = time.perf_counter(); import sb3_mimic;"
        "print('took', time.perf_counter() - start); print('heavy', {'torch', 'pybullet'} & set(sys.modules))"
    )
    printed = run_python("-c", code)
    assert "heavy set()" in printed
    assert float(printed.split("took")[1].split()[0]) < 0.1


def test_public_names_exist():
    for name in sb3_mimic.__all__:
        assert hasattr(sb3_mimic, name)


def test_every_file_says_its_one_job_and_is_short():
    for file in FILES:
        source = file.read_text()
        if source.strip():
            assert ast.get_docstring(ast.parse(source)), f"{file} does not say what it is for"
        assert source.count("\n") <= 300, f"{file} cannot be read in one sitting"


def test_help_is_quick(run_python):
    start = time.perf_counter()
    assert "photograph" in run_python("-m", "sb3_mimic", "--help")
    assert "torch" not in run_python("-X", "importtime", "-m", "sb3_mimic", "--help")
    assert time.perf_counter() - start < 20
