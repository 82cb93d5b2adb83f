"""What is to come: what predictors promise, that they learn, their files, and plans made in what they foresee."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO

from sb3_mimic import keys
from sb3_mimic.agents import load_agent
from sb3_mimic.agents.dreaming import DreamVecEnv
from sb3_mimic.agents.foreseeing import FILE, find_predictor, foresee, let_draw, psnr
from sb3_mimic.cli.main import main
from sb3_mimic.data.collection import POLICIES, collect, plan
from sb3_mimic.data.shards import Shards
from sb3_mimic.errors import CollectionError, ForesightError, PredictorFileError, UnsuitableEnvError
from sb3_mimic.foresight.base import StepwisePredictor
from sb3_mimic.foresight.files import PREDICTORS, Origin, load_predictor, save_predictor
from sb3_mimic.foresight.planning import PlanningPolicy, PlanSettings
from sb3_mimic.foresight.pose import PosePredictor
from sb3_mimic.foresight.pose_training import PoseSettings, fit_pose_predictor
from sb3_mimic.foresight.training import ForesightSettings, fit_predictor, split_windows
from sb3_mimic.pose import PoseLayout, robot_pose
from sb3_mimic.runs.shipped import predictors_folder

ENV_ID = "MimicReacherPlane-v0"
SPACE = spaces.Dict({keys.IMAGE: spaces.Box(0, 255, (3, 64, 64), np.uint8)})
LAYOUT = robot_pose([-1.0, -2.0], [1.0, 2.0], 2)
EVERY = pytest.mark.parametrize("kind", PREDICTORS)


def made(kind: str):
    th.manual_seed(0)
    predictor = PREDICTORS[kind](SPACE, 2, **({"layout": LAYOUT} if kind == "pose" else {}))
    if kind == "pose":
        # Something that depends on the pose
        predictor.draw = lambda qpos: np.tile(np.abs(100 * qpos[:, :1, None, None]).astype(np.uint8), (1, 64, 64, 3))
    return predictor.eval()


def some_frames(n: int = 2, n_seen: int = 6, n_steps: int = 5):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (n, n_seen, 64, 64, 3), np.uint8)
    return frames, rng.uniform(-1, 1, (n, n_seen - 1 + n_steps, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Shards:
    folder = tmp_path_factory.mktemp("foresight") / "data"
    collect(folder, plan(ENV_ID, 1600, "smooth", shard_steps=800), POLICIES["smooth"])
    return Shards(folder)


@EVERY
def test_predictors_foresee_as_many_frames_as_there_are_actions(kind):
    th.set_num_threads(1)
    predictor, (frames, actions) = made(kind), some_frames()
    foreseen = predictor.predict(frames, actions)
    assert foreseen.shape == (2, 5, 64, 64, 3)
    assert foreseen.dtype == np.uint8
    # One alone as in a batch, but for the last digits
    alone = predictor.predict(frames[1], actions[1])
    assert np.abs(alone.astype(int) - foreseen[1]).max() <= 1
    # What comes later does not change what comes before; SimVP alone sees all of it at once
    if kind != "simvp":
        assert np.abs(predictor.predict(frames, actions[:, :-2]).astype(int) - foreseen[:, :3]).max() <= 1
    longer = np.concatenate((actions, actions), axis=1)
    assert predictor.predict(frames, longer).shape[1] == longer.shape[1] - 5
    changed = actions.copy()
    changed[:, -5:] = -changed[:, -5:]
    assert (predictor.predict(frames, changed) != foreseen).any(), "actions do not count"


@EVERY
def test_what_does_not_fit_is_refused(kind):
    predictor, (frames, actions) = made(kind), some_frames()
    for wrong, told in (
        ((frames.astype(np.float32), actions), "must be uint8"),
        ((frames[..., :32, :], actions), "must be uint8"),
        ((frames[:, :1], actions), "must see"),
        ((frames, actions[..., :1]), "must have shape"),
        ((frames, actions[:1]), "must have shape"),
        ((frames, actions[:, :5]), "must be to come"),
        ((frames, np.full_like(actions, np.nan)), "finite"),
    ):
        with pytest.raises(ForesightError, match=told):
            predictor.predict(*wrong)


@EVERY
def test_files_give_back_the_same_predictor(kind, tmp_path):
    th.set_num_threads(1)
    predictor, (frames, actions) = made(kind), some_frames(1)
    origin = Origin("Some-v0", {"size": 3}, "a renderer")
    path = save_predictor(predictor, tmp_path / "predictor.safetensors", origin)
    loaded, found = load_predictor(path)
    assert found == origin
    assert loaded.get_constructor_parameters() == predictor.get_constructor_parameters()
    if kind == "pose":
        with pytest.raises(ForesightError, match="nothing draws them"):
            loaded.predict(frames, actions)
        loaded.draw = predictor.draw
    np.testing.assert_array_equal(loaded.predict(frames, actions), predictor.predict(frames, actions))
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[:-10], b"", whole.replace(b'\\"version\\": 1', b'\\"version\\": 7')):
        path.write_bytes(damaged)
        with pytest.raises(PredictorFileError, match="Train it again"):
            load_predictor(path)
    with pytest.raises(PredictorFileError, match="There is no file"):
        load_predictor(tmp_path / "other.safetensors")
    with pytest.raises(PredictorFileError, match=r"written as \.safetensors"):
        save_predictor(predictor, tmp_path / "predictor.pt", origin)


def test_a_file_cannot_ask_for_more_than_its_weights(tmp_path):
    path = save_predictor(made("cnn"), tmp_path / "predictor.safetensors", Origin("Some-v0"))
    content = path.read_bytes()
    # As long as before, so that the file is whole
    path.write_bytes(content.replace(b'\\"channels\\": 32', b'\\"channels\\": 99'))
    with pytest.raises(PredictorFileError, match="weights differ"):
        load_predictor(path)
    with pytest.raises(PredictorFileError, match="no Linear"):
        save_predictor(th.nn.Linear(1, 1), tmp_path / "predictor.safetensors", Origin("Some-v0"))


class Brighter(StepwisePredictor):
    """Foresees frames that are a tenth brighter than the one before."""

    def step(self, frame, action, state):
        return frame + 0.1, None


def test_regimes_show_true_frames_or_none():
    predictor = Brighter(SPACE, 2)
    frames, actions = th.zeros(1, 6, 3, 64, 64), th.zeros(1, 6, 2)
    shown = th.tensor([[True, True, False, False, True, False]])
    foreseen = predictor.unroll(frames, actions, shown)[0, :, 0, 0, 0]
    np.testing.assert_allclose(foreseen, [0.1, 0.1, 0.2, 0.3, 0.1, 0.2], atol=1e-6)
    teacher, free, scheduled = (ForesightSettings(regime=regime) for regime in ("teacher", "free", "scheduled"))
    assert [teacher.share_true(0.9), free.share_true(0.0), scheduled.share_true(0.0), scheduled.share_true(0.9)] == [
        1,
        0,
        1,
        0,
    ]
    assert 0 < scheduled.share_true(0.3) < 1
    with pytest.raises(ForesightError, match="Unknown regime"):
        ForesightSettings(regime="strict")
    with pytest.raises(ForesightError, match="at least 1"):
        ForesightSettings(batch_size=0)


@pytest.mark.parametrize("kind", ["convlstm", "simvp", "cnn", "lstm"])
def test_predictors_of_frames_learn(kind, shards):
    th.set_num_threads(1)
    predictor, losses = made(kind), []
    n_foreseen = 10 if kind == "simvp" else 3
    settings = ForesightSettings(n_updates=24, batch_size=2, n_seen=4 if kind == "simvp" else 2, n_foreseen=n_foreseen)
    fit_predictor(predictor, shards, settings, lambda n, loss: losses.append(loss))
    assert len(losses) == 24
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4]), losses


@pytest.fixture(scope="module")
def pose_predictor(shards) -> PosePredictor:
    th.set_num_threads(1)
    th.manual_seed(0)
    predictor = PosePredictor(SPACE, 2, shards.manifest.layouts[keys.ACHIEVED_GOAL])
    # It need not learn to read
    predictor.reader = load_agent(ENV_ID).translator
    fit_pose_predictor(predictor, shards, PoseSettings(n_epochs=0, n_updates=400, batch_size=128, n_foreseen=8))
    return predictor


def test_poses_are_foreseen_better_than_by_standing_still(shards, pose_predictor):
    length = 18
    _, kept = split_windows(shards, length)
    windows = shards.windows(kept, length, (keys.IMAGE, keys.ACHIEVED_GOAL, "action"))
    true = pose_predictor.layout.joints(windows[keys.ACHIEVED_GOAL])
    foreseen = pose_predictor.predict_joints(windows[keys.IMAGE][:, :8], windows["action"][:, :-1])
    assert foreseen.shape == (len(kept), 10, 2)
    error = np.abs(foreseen - true[:, 8:])[:, 4].mean()
    standing = np.abs(true[:, 7] - true[:, 12]).mean()
    assert error < 0.7 * standing, np.rad2deg([error, standing])


def test_an_environment_draws_what_is_foreseen(pose_predictor):
    with gym.make(ENV_ID) as env:
        let_draw(pose_predictor, env)
        foreseen = foresee(env, pose_predictor, POLICIES["smooth"](), 12, seed=3)
        assert foreseen.true.shape == foreseen.predicted.shape == (12, 64, 64, 3)
        assert foreseen.psnr().shape == (12,)
        # What is drawn is the robot: white around it
        assert (foreseen.predicted[0] == 255).mean() > 0.5
        assert foreseen.side_by_side(0).shape[0] == 288
        assert foreseen.strip().shape[0] == 20 + 2 * 96 + 4
        with pytest.raises(ForesightError, match="foresee fewer"):
            foresee(env, pose_predictor, POLICIES["smooth"](), 1000)
    with gym.make("MimicReacher3D-v0") as other, pytest.raises(ForesightError, match="cannot draw them"):
        let_draw(pose_predictor, other)


def test_psnr_is_that_of_the_field():
    black, grey = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 51, np.uint8)
    np.testing.assert_allclose(psnr(black, grey), 20 * np.log10(255 / 51))
    assert psnr(black, black).max() < 60


class Exact(PosePredictor):
    """Reads the pose in the first pixels, and knows that actions are speeds."""

    def __init__(self):
        super().__init__(SPACE, 2, LAYOUT)
        self.draw = lambda qpos: np.stack([picture_of(LAYOUT_NUMBERS(each)) for each in qpos])

    def read(self, frames):
        joints = frames[:, :, 0, 0, :2] * 2 - 1
        return joints, th.zeros_like(joints)

    def believe(self, read, scales, actions, belief=None):
        return read[:, -1], th.zeros_like(read[:, -1]), th.zeros(1)

    def go_on(self, place, change, before, actions):
        return (place[:, None] + 0.05 * actions.cumsum(dim=1)).clamp(-1, 1)


def LAYOUT_NUMBERS(qpos):  # noqa: N802
    return np.asarray(qpos) / np.array(LAYOUT["joints"].scale)


def picture_of(joints) -> np.ndarray:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:1, :2] = np.round((np.asarray(joints) + 1) / 2 * 255)[:, None]
    return picture


@pytest.mark.parametrize("cost", ["pose", "pixels", "both"])
def test_plans_lead_to_the_picture_of_a_goal(cost):
    settings = PlanSettings(cost=cost, horizon=6, n_samples=48, n_elites=6)
    policy = PlanningPolicy(Exact(), spaces.Box(-1, 1, (2,), np.float32), settings)
    place, goal, state = np.array([-0.8, 0.5]), np.array([0.4, -0.6]), None
    for _ in range(45):
        action, state = policy.predict({keys.IMAGE: picture_of(place), keys.DESIRED_IMAGE: picture_of(goal)}, state)
        assert np.abs(action).max() <= 1
        place = np.clip(place + 0.05 * action, -1, 1)
    assert np.abs(place - goal).max() < 0.06, (place, goal)


def test_several_environments_are_planned_for_as_each_alone():
    policy = PlanningPolicy(Exact(), spaces.Box(-1, 1, (2,), np.float32), PlanSettings(horizon=4, n_samples=16, n_elites=4))
    images, goals = (np.stack([picture_of(place) for place in places]) for places in ([[0, 0], [0.5, 0]], [[1, 1], [-1, 1]]))
    both, state = policy.predict({keys.IMAGE: images, keys.DESIRED_IMAGE: goals})
    for index in range(2):
        alone, _ = policy.predict({keys.IMAGE: images[index], keys.DESIRED_IMAGE: goals[index]})
        np.testing.assert_array_equal(alone, both[index])
    begun, _ = policy.predict({keys.IMAGE: images, keys.DESIRED_IMAGE: goals}, state, np.array([True, False]))
    np.testing.assert_array_equal(begun[0], both[0])


def test_plans_that_cannot_be_made_are_refused():
    with pytest.raises(UnsuitableEnvError, match="in a Box"):
        PlanningPolicy(Exact(), spaces.Discrete(3))
    for wrong in ({"horizon": 0}, {"n_elites": 1000}, {"cost": "time"}):
        with pytest.raises(ForesightError):
            PlanSettings(**wrong)


def test_collections_without_pictures_or_poses_are_refused(tmp_path, capsys):
    collect(tmp_path / "cart", plan("CartPole-v1", 60, "random"), POLICIES["random"])
    for kind in ("pose", "convlstm"):
        assert main(["fit", str(tmp_path / "cart"), "--predictor", kind, "-o", str(tmp_path / "fit")]) == 2
        assert "holds no pictures" in capsys.readouterr().err
    folder = tmp_path / "few"
    collect(folder, plan(ENV_ID, 20, "random"), POLICIES["random"])
    with pytest.raises(CollectionError, match="too few"):
        fit_predictor(made("cnn"), Shards(folder), ForesightSettings(n_updates=1))
    with pytest.raises(ForesightError, match="must come first"):
        PosePredictor(SPACE, 2, PoseLayout((LAYOUT["points"],)))


def test_commands_train_and_show_what_is_foreseen(shards, tmp_path, capsys):
    fitted, shown = tmp_path / "fit", tmp_path / "foreseen.gif"
    told = ["--predictor", "pose", "--epochs", "1", "--updates", "20", "-o", str(fitted)]
    assert main(["fit", str(shards.folder), *told]) == 0
    path = fitted / "predictor.safetensors"
    assert main(["foresee", "--env", ENV_ID, "--predictor", str(path), "--steps", "10", "-o", str(shown)]) == 0
    printed = capsys.readouterr().out
    assert "PSNR" in printed
    assert shown.stat().st_size > 1000
    assert shown.with_suffix(".png").is_file()
    assert main(["foresee", "--env", "MimicHumanoid-v0", "--predictor", str(path), "-o", str(shown)]) == 2
    assert f"trained on {ENV_ID}" in capsys.readouterr().err
    assert main(["foresee", "--env", "MimicReacher6D-v0", "-o", str(shown)]) == 2
    assert "No predictor is shipped for MimicReacher6D-v0" in capsys.readouterr().err


def test_find_predictor_says_which_there_are():
    with pytest.raises(PredictorFileError, match="there are those for"):
        find_predictor("MimicWalk-v0")
    assert json.dumps(made("convlstm").get_constructor_parameters())


def test_dreams_are_as_the_real_one():
    state_id = ENV_ID.replace("-v0", "State-v0")
    predictor = find_predictor(ENV_ID)
    dream, real = DreamVecEnv(gym.make(state_id), predictor, 3, seed=5), gym.make(state_id)
    observed = dream.reset()
    first, _ = real.reset(seed=5)
    for key in keys.STATE_KEYS:
        assert observed[key].shape == (3, *first[key].shape)
        np.testing.assert_array_equal(observed[key][0], first[key])
    rng, layout = np.random.default_rng(0), predictor.layout
    for step in range(1, 101):
        actions = rng.uniform(-0.3, 0.3, (3, 2)).astype(np.float32)
        observed, rewards, dones, infos = dream.step(actions)
        came, reward, _, truncated, _ = real.step(actions[0])
        if step <= 5:
            off = np.rad2deg(layout["joints"].distances(observed[keys.ACHIEVED_GOAL][0], came[keys.ACHIEVED_GOAL]))
            assert off.max() < 5, (step, off)
            assert abs(rewards[0] - reward) < 0.1
            assert infos[0].keys() >= {"is_success", "TimeLimit.truncated"}
        # What is told of a step stays what it was, also where the next episode has begun
        np.testing.assert_array_equal(np.stack([info["action"] for info in infos]), actions)
        assert dones.all() == truncated == (step == 100)
    assert infos[0]["TimeLimit.truncated"]
    assert infos[0]["episode"]["l"] == 100
    # The next episode has begun
    assert not np.array_equal(infos[0]["terminal_observation"][keys.DESIRED_GOAL], observed[keys.DESIRED_GOAL][0])
    assert len(dream.get_images()) == 3
    dream.close()
    real.close()


def test_agents_learn_in_dreams():
    dream = DreamVecEnv(gym.make(ENV_ID.replace("-v0", "State-v0")), find_predictor(ENV_ID), 4)
    model = PPO("MultiInputPolicy", dream, n_steps=128, batch_size=128, seed=0, device="cpu").learn(1024)
    assert len(model.ep_info_buffer) == 8
    dream.close()


def test_what_cannot_be_dreamt_is_refused():
    predictor = find_predictor(ENV_ID)
    for env_id, error, told in (
        ("CartPole-v1", UnsuitableEnvError, "Dreams need a robot"),
        (ENV_ID, UnsuitableEnvError, "Dreams need a robot"),
        ("MimicReacher3DState-v0", ForesightError, "has others"),
    ):
        with gym.make(env_id) as env, pytest.raises(error, match=told):
            DreamVecEnv(env, predictor)


@pytest.mark.parametrize("folder", sorted(predictors_folder().glob("*/")), ids=lambda folder: folder.name)
def test_shipped_predictors_foresee_what_their_cards_say(folder):
    th.set_num_threads(1)
    assert (folder / FILE).stat().st_size < 5 * 2**20
    assert folder.name in (folder / "README.md").read_text()
    predictor = find_predictor(folder.name)
    errors = []
    with gym.make(folder.name) as env:
        let_draw(predictor, env)
        for seed in range(12):
            env.reset(seed=seed)
            foreseen, true = _foreseen_joints(env, predictor, seed)
            errors.append(np.rad2deg(np.abs(foreseen - true)).mean())
    assert np.mean(errors) < (3 if "Plane" in folder.name else 6), errors


def _foreseen_joints(env, predictor, seed):
    """:return: Joints ten steps ahead, and as they were"""
    policy, rng = POLICIES["smooth"](), np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    policy.begin(env, rng)
    frames, actions = [observation[keys.IMAGE]], []
    for _ in range(17):
        actions.append(policy.act(observation))
        observation = env.step(actions[-1])[0]
        frames.append(observation[keys.IMAGE])
    true = predictor.layout.joints(observation[keys.ACHIEVED_GOAL])
    return predictor.predict_joints(np.stack(frames[:8]), np.stack(actions))[-1], true
