"""How measures are written for people."""

from sb3_mimic.agents.tables import overview, sight_overview, sight_table_of, titles_of


def value(number):
    return {"value": number, "interval": [number, number], "n": 2}


ARM = {
    "env": "Arm-v0", "episodes": 2, "success": value(1.0), "translator_joint_error_deg": value(1.0),
    "translator_keypoint_error_cm": value(1.0),
    "sight": {
        "own camera": {
            "translator": value(0.9), "refined": value(0.03), "within": value(0.9), "refused": value(0.0), "ms": value(7.0)
        },
        "landscape": {"refused": value(0.75), "ms": value(9.0)},
    },
}  # fmt: skip
CUBE = {
    "env": "Cube-v0", "episodes": 2, "success": value(1.0), "object_error_cm": value(1.5),
    "translator_object_error_cm": value(0.2),
    "sight": {"own camera": {"translator": value(0.2), "refined": value(0.07), "refused": value(0.0), "ms": value(70.0)}},
}  # fmt: skip


def test_readings_have_the_unit_of_what_is_read():
    assert "| translator alone, deg | with render and compare, deg |" in sight_table_of(ARM)
    assert "| translator alone, cm | with render and compare, cm |" in sight_table_of(CUBE)
    angle = {"translator_angle_error": value(1.0), "sight": CUBE["sight"]}
    assert "| translator alone | with render and compare |" in sight_table_of(angle)


def test_what_was_not_measured_is_a_dash():
    rows = sight_overview([ARM, CUBE, {"env": "Blind-v0"}]).splitlines()[2:]
    assert rows[0] == "| `Arm-v0` | 0.030 |" + " - |" * 9 + " 0.900 | 0.000 | 0.250 |"
    assert rows[1] == "| `Cube-v0` (cm) | 0.070 |" + " - |" * 9 + " - | 0.000 | - |"
    assert len(rows) == 2
    assert "| `Cube-v0` | 1.000 [1.000, 1.000] | - |" in overview([CUBE])


def test_things_on_a_table_have_titles():
    titles = {name: title for name, (title, _) in titles_of(CUBE).items()}
    assert titles["object_error_cm"] == "distance of things from their goals, cm"
    assert titles["translator_object_error_cm"] == "translator: mean error of where things are, cm"
