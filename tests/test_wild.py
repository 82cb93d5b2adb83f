"""Laws of environments whose camera and light stand elsewhere in every episode."""

import copy
import math
import pickle
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pybullet_data
import pytest
import yaml
from learning import SMALL
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_mimic import keys
from sb3_mimic.agents.environments import layout_read
from sb3_mimic.agents.imitation import PictureReader
from sb3_mimic.checkpoints import RunStateCallback
from sb3_mimic.envs.bodies.reacher import REACHER_3D
from sb3_mimic.envs.make import pose_env
from sb3_mimic.envs.registration import POSE_IDS
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.photographer import DAYLIGHT, Light
from sb3_mimic.envs.sight.randomization import SceneRandomization, moved_view
from sb3_mimic.envs.world.body import Body
from sb3_mimic.envs.world.view import View
from sb3_mimic.errors import EnvArgumentError, UnsuitableEnvError
from sb3_mimic.policies import StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.tuning.environment import probe
from sb3_mimic.zoo.entries import similar_id
from sb3_mimic.zoo.manager import MimicZooManager

WILD_IDS = [env_id for env_id in POSE_IDS if env_id.endswith("Wild-v0")]
ENV_ID = "MimicReacher3DWild-v0"
VIEW = View(eye=(2.0, 0.0, 1.0), target=(0.0, 0.0, 1.0), up=(0, 0, 1), fov=60)


def shots(env: gym.Env) -> tuple[np.ndarray, np.ndarray]:
    """From where both pictures of the present episode are taken"""
    dim = env.unwrapped.pose_layout.dim
    views = np.array((env.unwrapped.achieved_view[dim:], env.unwrapped.desired_view[dim:]))
    own, target = env.unwrapped.camera_parameters(views)
    return own, target


def test_there_is_one_of_each_body():
    assert len(WILD_IDS) == len({gym.spec(env_id).kwargs["body"] for env_id in POSE_IDS})


@pytest.mark.parametrize("env_id", WILD_IDS)
def test_every_episode_has_cameras_and_lights_of_its_own(env_id, make_env):
    env = make_env(env_id)
    ranges, drawn, lights = env.unwrapped.camera_ranges.ranges, [], []
    for seed in range(150):
        env.reset(seed=seed)
        drawn.append(shots(env))
        lights.append((env.unwrapped.eye.own_shot.light, env.unwrapped.eye.target_shot.light))
    parts = np.array(drawn) / ranges
    assert np.abs(parts).max() <= 1 + 1e-6
    assert (parts.max(axis=0) > 0.9).all()
    assert (parts.min(axis=0) < -0.9).all()
    np.testing.assert_allclose(ranges, [0.05] * 3 + [math.radians(5)] * 3 + [0.05])
    # The target's are not the robot's own, nor do they depend on them
    assert abs(np.corrcoef(parts[:, 0].ravel(), parts[:, 1].ravel())[0, 1]) < 0.15
    directions = np.array([light.direction for pair in lights for light in pair])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert directions[:, 2].min() >= 0
    assert np.abs(directions.mean(axis=0) - (0, 0, 0.5)).max() < 0.15, "evenly over the upper side"
    assert {round(light.strength + light.ambient, 9) for pair in lights for light in pair} == {1.0}


@pytest.mark.parametrize("env_id", WILD_IDS)
def test_pictures_are_those_of_the_cameras_that_are_told(env_id, make_env):
    env = make_env(env_id)
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        for picture, label, shot in (
            (keys.IMAGE, keys.ACHIEVED_VIEW, env.unwrapped.eye.own_shot),
            (keys.DESIRED_IMAGE, keys.DESIRED_VIEW, env.unwrapped.eye.target_shot),
        ):
            layout, vector = env.unwrapped.view_layout, info[label]
            view = env.unwrapped.view_of(env.unwrapped.camera_parameters(vector[env.unwrapped.pose_layout.dim :]))
            drawn = env.unwrapped.photographs(layout.joints(vector), view, light=shot.light)
            # Labels are float32
            assert np.abs(drawn.astype(int) - observation[picture]).mean() < 0.01
            other = env.unwrapped.photographs(layout.joints(vector), light=shot.light)
            assert np.abs(drawn.astype(int) - other).mean() > 0.5
            # What is read of the camera can be given its units by the layout, too
            np.testing.assert_allclose(layout["camera_position"].of(vector)[0], np.array(shot.camera)[:3], atol=1e-6)
            np.testing.assert_allclose(layout["camera_direction"].of(vector), np.array(shot.camera)[3:6], atol=1e-6)
            np.testing.assert_allclose(layout["camera_fov"].of(vector), np.array(shot.camera)[6:], atol=1e-6)


def test_labels_are_told_of_the_same_moment(make_env):
    env = make_env(ENV_ID)
    _, info = env.reset(seed=0)
    cameras = shots(env)
    for action in np.random.default_rng(0).uniform(-1, 1, (3, 3)):
        for key, pose in ((keys.ACHIEVED_VIEW, "achieved_goal"), (keys.DESIRED_VIEW, "desired_goal")):
            np.testing.assert_array_equal(info[key][:-7], getattr(env.unwrapped, pose))
            np.testing.assert_array_equal(info[key], getattr(env.unwrapped, key))
            info[key] += 1
            assert not np.array_equal(info[key], getattr(env.unwrapped, key))
        info = env.step(action)[-1]
        np.testing.assert_array_equal(shots(env), cameras)
    assert env.unwrapped.view_layout.errors(info[keys.ACHIEVED_VIEW], info[keys.DESIRED_VIEW]).keys() == {
        "joint_error_deg", "keypoint_error_cm", "camera_position_error_cm", "camera_direction_error_deg", "camera_fov_error",
    }  # fmt: skip


def test_asking_for_another_pose_keeps_the_cameras(make_env):
    env = make_env(ENV_ID)
    first, _ = env.reset(seed=0)
    goal, cameras = env.unwrapped.desired_goal, shots(env)
    env.unwrapped.ask_for(goal * 0.5)
    again = env.unwrapped.ask_for(goal)
    np.testing.assert_array_equal(again[keys.DESIRED_IMAGE], first[keys.DESIRED_IMAGE])
    np.testing.assert_array_equal(shots(env), cameras)


def test_a_reset_may_say_where_the_camera_is(make_env):
    env = make_env(ENV_ID)
    camera = np.array((0.02, 0, 0, 0, math.radians(2), 0, 0))
    env.reset(seed=4)
    poses = env.unwrapped.achieved_goal, env.unwrapped.desired_goal
    light = env.unwrapped.eye.own_shot.light
    observation, info = env.reset(seed=4, options={"camera": camera})
    for own in shots(env):
        np.testing.assert_allclose(own, camera, atol=1e-7)
    drawn = env.unwrapped.photographs(env.unwrapped.robot.qpos, env.unwrapped.view_of(camera), light=light)
    np.testing.assert_array_equal(drawn, observation[keys.IMAGE])
    np.testing.assert_array_equal(poses, (env.unwrapped.achieved_goal, env.unwrapped.desired_goal))
    np.testing.assert_allclose(info[keys.ACHIEVED_VIEW][-7:] * env.unwrapped.camera_ranges.ranges, camera, atol=1e-7)
    for bad in (camera[:-1], camera * np.nan, [*camera[:-1], -1.5], "left", [[1], [2, 3]]):
        with pytest.raises(EnvArgumentError, match="7 finite numbers"):
            env.reset(options={"camera": bad})
    with pytest.raises(EnvArgumentError, match=r"Unknown reset options \['camera'\]"):
        make_env("MimicReacher3D-v0").reset(options={"camera": camera})


def test_a_camera_moves_along_and_about_its_own_axes():
    def of(**moved: float) -> View:
        names = ("right", "up", "ahead", "yaw", "pitch", "roll", "fov")
        return moved_view(VIEW, [moved.get(name, 0.0) for name in names])

    assert of() is VIEW
    # It looks along -x: to its right is +y
    np.testing.assert_allclose(of(right=0.1).eye, (2, 0.1, 1), atol=1e-12)
    np.testing.assert_allclose(of(right=0.1).target, (0, 0.1, 1), atol=1e-12)
    np.testing.assert_allclose(of(up=0.1).eye, (2, 0, 1.1), atol=1e-12)
    np.testing.assert_allclose(of(ahead=0.1).eye, (1.9, 0, 1), atol=1e-12)
    turn = math.radians(10)
    np.testing.assert_allclose(of(yaw=turn).target, (2 - 2 * math.cos(turn), 2 * math.sin(turn), 1), atol=1e-12)
    np.testing.assert_allclose(of(pitch=turn).target, (2 - 2 * math.cos(turn), 0, 1 + 2 * math.sin(turn)), atol=1e-12)
    np.testing.assert_allclose(of(roll=turn).up, (0, math.sin(turn), math.cos(turn)), atol=1e-12)
    assert of(fov=0.05).fov == pytest.approx(63)
    # What it turns away from goes the other way in the picture, given from its left and from its top
    middle = np.array([[0.0, 0.0, 1.0]])
    right, top = np.array([[0.0, 0.5, 1.0]]), np.array([[0.0, 0.0, 1.5]])

    def place(point: np.ndarray, **moved: float) -> np.ndarray:
        return Camera.of(of(**moved)).project(point)[0]

    np.testing.assert_allclose(place(middle), 0.5, atol=1e-6)
    assert place(right)[0] > 0.6
    assert place(middle, yaw=turn)[0] < 0.45
    assert place(middle, pitch=turn)[1] > 0.55
    assert place(top, roll=turn)[0] < 0.48, "a camera that is rolled clockwise turns the picture the other way"


def test_views_and_lights_may_be_lists_and_arrays(make_env):
    env = make_env(ENV_ID).unwrapped
    env.reset(seed=0)
    qpos = np.zeros(3)
    expected = env.photographs(qpos, VIEW, light=Light((0, 0, 1)))
    view = View(list(VIEW.eye), np.array(VIEW.target), [0, 0, 1], 60)
    np.testing.assert_array_equal(env.photographs(qpos, view, light=Light(np.array((0, 0, 1)))), expected)
    assert not np.array_equal(env.photographs(qpos, VIEW), expected)


def test_plain_ids_draw_nothing_more(make_env):
    """Their episodes are the same as those of an environment that has never heard of moving cameras"""
    env, still = make_env("MimicReacher3D-v0"), make_env("MimicReacher3D-v0", scene_randomization=False)
    env.reset(seed=0)
    still.reset(seed=0)
    rng = np.random.default_rng()
    rng.bit_generator.state = env.unwrapped.np_random.bit_generator.state
    fresh = np.random.Generator(np.random.PCG64(np.random.SeedSequence(0)))
    fresh.uniform(size=6)
    assert rng.uniform() == fresh.uniform() == still.unwrapped.np_random.uniform()
    assert env.unwrapped.view_layout is None
    with pytest.raises(EnvArgumentError, match="camera of this environment stays"):
        env.unwrapped.camera_parameters(np.zeros(7))
    assert set(env.unwrapped.run_state()) == {
        "world", "picture_parity", "np_random", "achieved", "desired", "desired_image", "pixel_error",
    }  # fmt: skip


def test_copies_keep_the_cameras(make_env):
    env, other = make_env(ENV_ID), make_env(ENV_ID)
    env.reset(seed=0)
    other.reset(seed=1)
    other.unwrapped.restore_run_state(pickle.loads(pickle.dumps(env.unwrapped.run_state())))
    goal = env.unwrapped.desired_goal * 0.3
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env)), other]
    expected = env.unwrapped.ask_for(goal)
    for each in copies:
        np.testing.assert_array_equal(shots(each), shots(env))
        for key, value in each.unwrapped.ask_for(goal).items():
            np.testing.assert_array_equal(value, expected[key])
        each.close()


def test_people_see_the_same_side_in_every_episode(make_env):
    env = make_env(ENV_ID, render_mode="rgb_array")
    camera, pictures = env.unwrapped.camera, []
    for seed in (0, 1):
        env.reset(seed=seed)
        goal = np.zeros(env.unwrapped.pose_layout.dim)
        env.unwrapped.ask_for(goal)
        env.unwrapped.robot.reset(np.zeros(3))
        pictures.append(env.render())
    np.testing.assert_array_equal(*pictures)
    assert env.unwrapped.camera is camera


def test_ranges_are_given_as_in_yaml(make_env):
    settings = yaml.safe_load("{position: [0.1, 0.2, 0], direction: 0, light_angle: null, light_strength: [0.2, 0.3]}")
    env = make_env("MimicReacher3D-v0", scene_randomization=settings)
    env.reset(seed=0)
    assert env.unwrapped.camera_ranges.position == (0.1, 0.2, 0)
    assert env.unwrapped.eye.own_shot.light is None
    own, _ = shots(env)
    np.testing.assert_allclose(own[2:5], 0, atol=1e-6)
    assert np.abs(own[:2]).min() > 1e-4
    lit = SceneRandomization(light_angle=0, light_strength=(0.2, 0.3)).draw(np.random.default_rng(0)).light
    np.testing.assert_allclose(lit.direction, (0, 0, 1), atol=1e-12)
    assert 0.2 <= lit.strength <= 0.3
    assert lit.ambient == pytest.approx(DAYLIGHT.strength + DAYLIGHT.ambient - lit.strength)
    assert pose_env(REACHER_3D, scene_randomization=SceneRandomization(fov=0.1)).camera_ranges.fov == 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"positions": 0.1}, "must be True or a mapping of position, direction, roll, fov, light_angle, light_strength"),
        (0.05, "must be True or a mapping"),
        ({"position": -0.1}, "position of a SceneRandomization must be 3 numbers from 0 to 10"),
        ({"position": [0.1, 0.1]}, "position of a SceneRandomization must be 3 numbers"),
        ({"position": "far"}, "position of a SceneRandomization must be 3 numbers"),
        ({"direction": math.nan}, "direction of a SceneRandomization must be one number from 0 to 45"),
        ({"roll": "5"}, "roll of a SceneRandomization must be one number"),
        ({"fov": 0.6}, "fov of a SceneRandomization must be one number from 0 to 0.5"),
        ({"fov": True}, "fov of a SceneRandomization must be one number"),
        ({"light_angle": 91}, "light_angle of a SceneRandomization must be one number from 0 to 90"),
        ({"light_strength": 0.5}, "light_strength of a SceneRandomization must be 2 numbers"),
        ({"light_strength": [0.9, 0.5]}, "the smallest and the largest"),
    ],
)
def test_bad_ranges_are_refused(settings, message):
    with pytest.raises(EnvArgumentError, match=message):
        gym.make("MimicReacher3D-v0", scene_randomization=settings)


def test_of_a_body_made_of_meshes_only_the_camera_moves():
    body = Body.from_urdf(
        pybullet_data.getDataPath() + "/kuka_iiwa/model.urdf",
        keypoints=[("elbow", "lbr_iiwa_link_4"), ("hand", "lbr_iiwa_link_7")],
    )
    env = pose_env(body, scene_randomization=True)
    try:
        first, _ = env.reset(seed=0)
        assert env.photographer.name == "tinyrenderer"
        assert env.eye.own_shot.light is env.eye.target_shot.light is None
        own, target = shots(env)
        assert np.abs(own - target).max() > 0.01
        still = env.photographer.look()
        assert np.abs(still.astype(int) - first[keys.IMAGE]).mean() > 0.5
    finally:
        env.close()


@pytest.mark.parametrize("env_id", WILD_IDS)
def test_the_zoo_lets_the_translator_read_all_of_it(env_id, make_env):
    layout = make_env(env_id).unwrapped.view_layout
    manager = MimicZooManager.__new__(MimicZooManager)
    manager.env_name, manager.env_kwargs = SimpleNamespace(gym_id=env_id), {}
    entry = {"policy": "sb3_mimic.policies.StatePolicy", "policy_kwargs": {"labels": dict(keys.VIEW_LABELS)}}
    saved = dict(entry)
    manager._set_state_dim(entry, saved)
    assert entry == saved
    assert entry["policy_kwargs"]["translator_kwargs"] == {"state_dim": layout.dim}
    # Whoever wants the pose alone gets it
    plain = {"policy": entry["policy"]}
    manager._set_state_dim(plain, plain)
    assert "policy_kwargs" not in plain


def test_ids_without_an_entry_take_that_of_the_same_mode():
    for mode in ("", "Wild"):
        env_id = f"MimicHumanoid{mode}-v0"
        assert similar_id(env_id, probe(env_id)) == f"MimicReacher3D{mode}-v0"


def test_training_reads_poses_and_cameras(make_model, make_env):
    layout = make_env(ENV_ID).unwrapped.view_layout
    measured: set[str] = set()

    class Note(TranslatorCallback):
        def _measure(self, translator, windows, layout_of_label):
            assert layout_of_label == layout
            assert windows.states.shape[-1] == translator.state_dim == layout.dim
            # Two cameras an episode, each within its ranges
            assert np.abs(windows.states[..., -7:]).max() <= 1 + 1e-6
            assert len(np.unique(windows.states[:, 0, -7])) > 1
            lesson = super()._measure(translator, windows, layout_of_label)
            measured.update(lesson.measures)
            return lesson

    policy_kwargs = {"labels": dict(keys.VIEW_LABELS), "translator_kwargs": SMALL | {"state_dim": layout.dim}}
    model = make_model(StatePolicy, ENV_ID, policy_kwargs=policy_kwargs, n_steps=32, batch_size=32)
    model.learn(64, callback=Note(picture_freq=1))
    assert {"joint_error_deg", "camera_position_error_cm", "camera_direction_error_deg", "camera_fov_error"} <= measured


def test_a_training_goes_on_bit_by_bit(make_env, tmp_path):
    policy_kwargs = {
        "labels": dict(keys.VIEW_LABELS),
        "translator_kwargs": SMALL | {"state_dim": make_env(ENV_ID).unwrapped.view_layout.dim},
    }

    def train(checkpoint: Path | None = None, **kwargs) -> list:
        # Episodes end at other times than checkpoints are written
        venv = make_vec_env(ENV_ID, 2, seed=3)
        model = PPO(
            StatePolicy, venv, n_steps=32, batch_size=32, n_epochs=1, seed=3, device="cpu", policy_kwargs=policy_kwargs
        )
        if checkpoint is not None:
            model.set_parameters(checkpoint)
        translator = TranslatorCallback(memory_size=64, n_validation=8)
        model.learn(320, callback=[RunStateCallback(**kwargs), translator])
        model.get_env().close()
        return [value.numpy() for value in model.policy.state_dict().values() if hasattr(value, "numpy")]

    expected = train(save_path=str(tmp_path), save_freq=64)
    checkpoint = tmp_path / "rl_model_128_steps.zip"
    for ours, theirs in zip(train(checkpoint, resume_from=str(checkpoint)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_imitation_takes_the_pose_out_of_what_is_read(make_env):
    env = make_env(ENV_ID)
    layout, whole = env.unwrapped.pose_layout, env.unwrapped.view_layout
    assert layout_read(env, whole.dim) == whole
    assert layout_read(env, layout.dim) == layout_read(env, layout["joints"].size) == layout
    with pytest.raises(UnsuitableEnvError, match=r"reads 10 numbers.*camera_fov \(1\)"):
        layout_read(env, 10)
    with pytest.raises(UnsuitableEnvError, match="the id that the agent was trained on"):
        layout_read(make_env("MimicReacher3D-v0"), whole.dim)
    observation, info = env.reset(seed=0)
    reader = PictureReader(
        SimpleNamespace(predict=lambda picture: info[keys.DESIRED_VIEW]), observation[keys.DESIRED_IMAGE], layout
    )
    np.testing.assert_array_equal(reader.estimate, env.unwrapped.desired_goal)
    reader.refine(observation[keys.IMAGE], env.unwrapped.desired_goal)
    np.testing.assert_allclose(reader.estimate, env.unwrapped.desired_goal)
