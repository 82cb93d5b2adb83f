"""Pose vectors and reward terms, by numbers worked out by hand."""

import copy
import json

import numpy as np
import pytest

from sb3_mimic.envs.tasks.rewards import REWARD_TERMS, Reward
from sb3_mimic.errors import EnvArgumentError, MissingInfoError
from sb3_mimic.pose import JOINTS, POINTS, Part, PoseLayout, robot_pose

LAYOUT = robot_pose((-1.0, 0.0), (1.0, 4.0), 1)


def test_parts_have_values_in_their_units():
    pose = np.array([0.5, 1, 1, 2, 3], np.float32)
    np.testing.assert_allclose(LAYOUT[JOINTS].of(pose), [0.5, 4.0])
    np.testing.assert_allclose(LAYOUT[POINTS].of(pose), [[1, 2, 3]])
    np.testing.assert_array_equal(LAYOUT.joints(pose), LAYOUT[JOINTS].of(pose))
    np.testing.assert_array_equal(LAYOUT.keypoints(pose[None]), [[[1, 2, 3]]])
    np.testing.assert_array_equal(LAYOUT.bounds, [2] * 5)
    with pytest.raises(KeyError, match=r"no part 'object'\. Its parts: joints, points"):
        LAYOUT["object"]


def test_layouts_are_composed_selected_and_written():
    velocity = Part("velocity", (2,), "rad/s", bound=10.0)
    layout = PoseLayout((*LAYOUT, velocity))
    assert (layout.dim, layout["velocity"].slice) == (7, slice(5, 7))
    assert layout.select(JOINTS, POINTS) == LAYOUT
    assert PoseLayout.from_json(json.loads(json.dumps(layout.to_json()))) == layout
    vector, other = np.arange(7.0), np.arange(7.0)
    other[6] += 1
    np.testing.assert_array_equal(layout.take(vector, "velocity", JOINTS), [5, 6, 0, 1])
    errors = layout.errors(vector, other)
    assert list(errors) == ["joint_error_deg", "keypoint_error_cm", "velocity_error_deg_per_s"]
    assert errors["velocity_error_deg_per_s"] == pytest.approx(np.rad2deg(0.5))
    with pytest.raises(ValueError, match="name of its own"):
        PoseLayout((velocity, velocity))
    with pytest.raises(ValueError, match="no layout"):
        PoseLayout.from_json([{"nonsense": 1}])


def test_errors():
    one, other = np.array([0.0, 0, 0, 0, 0]), np.array([0.5, -0.25, 0.03, 0, 0.04])
    # 0.5 x 1 rad and 0.25 x 2 rad
    assert LAYOUT[JOINTS].error(one, other) == pytest.approx(np.rad2deg(0.5))
    assert LAYOUT[POINTS].error(one, other) == pytest.approx(5)
    assert LAYOUT[JOINTS].error(np.stack([one, one]), np.stack([other, one])).shape == (2,)


@pytest.mark.parametrize("arguments", [((0,), (0,), 1), ((0, 0), (1,), 1), ((), (), 1), ((0,), (1,), 0)])
def test_impossible_layouts_are_refused(arguments):
    with pytest.raises(ValueError, match=r"joint|key point"):
        robot_pose(*arguments)


INFO = {
    "previous_achieved_goal": np.array([1.0, 1, 0, 0, 0.1]),
    "efforts": np.array([0.5, -1.0]),
    "qvel": np.array([2.0, 1.0]),
    "previous_pixel_error": 0.25,
    "pixel_error": 0.5,
}
EXPECTED = {
    "joint_distance": 0.5,
    "joint_progress": 0.5,
    "keypoint_distance": 0.3,
    "keypoint_progress": -0.2,
    "electricity": 1.0,
    "stall_torque": 0.625,
    "sparse": -1.0,
    "joints_at_limits": 0.5,
    "pixel_error": 0.5,
    "pixel_progress": -0.25,
}


def test_every_term_is_what_its_name_says():
    assert set(EXPECTED) == set(REWARD_TERMS)
    achieved, desired = np.array([0.5, 0, 0, 0, 0.3]), np.zeros(5)
    achieved[1], desired[1] = 1.0, 1.0
    terms = Reward(dict.fromkeys(EXPECTED, 2.0), LAYOUT).terms(achieved, desired, INFO)
    assert {name: float(value) for name, value in terms.items()} == pytest.approx({k: 2 * v for k, v in EXPECTED.items()})


def test_sparse_reward_is_zero_only_where_every_keypoint_is_near():
    layout = robot_pose((-1.0,), (1.0,), 2)
    desired = np.zeros((3, 7))
    achieved = np.array([[1, 0.04, 0, 0, 0, 0, 0.04], [0, 0.04, 0.04, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, -0.06]])
    reward = Reward({"sparse": 1.0}, layout)
    assert reward(achieved, desired, [{}] * 3).tolist() == [0, -1, -1]
    assert [reward(*pair, {}) for pair in zip(achieved, desired, strict=True)] == [0, -1, -1]


def test_terms_are_pure():
    before = copy.deepcopy(INFO)
    achieved = np.ones(5)
    Reward(dict.fromkeys(EXPECTED, 1.0), LAYOUT)(achieved, np.zeros(5), INFO)
    assert {key for term in REWARD_TERMS.values() for key in term.reads} == set(INFO)
    np.testing.assert_array_equal(achieved, np.ones(5))
    for key, value in before.items():
        np.testing.assert_array_equal(value, INFO[key])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"joint_progres": 1.0}, r"'joint_progres'.*Known terms.*Did you mean 'joint_progress'"),
        ({"joint_progress": float("nan")}, "finite number, got nan"),
        ({"joint_progress": "1"}, "finite number, got '1'"),
        ({"joint_progress": None}, "finite number, got None"),
        ({}, "at least one"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(EnvArgumentError, match=message):
        Reward(weights, LAYOUT)


@pytest.mark.parametrize("name", [name for name, term in REWARD_TERMS.items() if term.reads])
def test_what_a_term_reads_must_be_there(name):
    reward, pose = Reward({name: 1.0}, LAYOUT), np.zeros(5)
    for key in REWARD_TERMS[name].reads:
        lacking = {other: value for other, value in INFO.items() if other != key}
        for call in (
            (pose, pose, lacking),
            (pose[None], pose[None], [lacking]),
            (np.zeros((2, 5)), np.zeros((2, 5)), [INFO, {}]),
        ):
            with pytest.raises(MissingInfoError, match=rf"^Reward term '{name}' reads '.*copy_info_dict=True.*sparse"):
                reward(*call)
