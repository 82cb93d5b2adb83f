"""Goal pictures for any environment: the picture and the vector of a goal are of one state, and nothing else changes."""

import copy
import os

import gymnasium as gym
import numpy as np
import own_arm
import pytest
from own_arm import ENV_ID, OwnArm, set_angle
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env

from sb3_mimic import keys
from sb3_mimic.agents import Agent
from sb3_mimic.agents.evaluation import evaluate
from sb3_mimic.agents.imitation import imitate
from sb3_mimic.checkpoints import RunStateCallback
from sb3_mimic.envs.picture_goals import PictureGoals
from sb3_mimic.errors import InputError, UnsuitableEnvError
from sb3_mimic.policies import StatePolicy
from sb3_mimic.pose import Part, PoseLayout


@pytest.fixture
def arm():
    env = own_arm.own_arm("rgb_array", sample_state=lambda env, rng: rng.uniform(-2, 2))
    yield env
    env.close()


def drawn(angle: float) -> np.ndarray:
    plain = OwnArm("rgb_array")
    plain.angle = angle
    return np.asarray(Image.fromarray(plain.render()).resize((64, 64), Image.Resampling.BOX))


def test_it_is_an_environment_with_goals(arm):
    check_env(arm, warn=False, skip_render_check=True)
    observation, info = arm.reset(seed=0)
    assert set(observation) == {keys.OBSERVATION, *keys.STATE_KEYS, *keys.IMAGE_KEYS}
    assert arm.observation_space.contains(observation)
    np.testing.assert_array_equal(info["desired_goal"], observation["desired_goal"])
    assert not np.array_equal(observation["image"], observation["desired_image"])


def test_picture_and_vector_of_a_goal_are_of_one_state(arm):
    for seed in range(5):
        observation, _ = arm.reset(seed=seed)
        for vector, picture in ((keys.ACHIEVED_GOAL, keys.IMAGE), (keys.DESIRED_GOAL, keys.DESIRED_IMAGE)):
            np.testing.assert_array_equal(observation[picture], drawn(float(observation[vector][0])))
    observation, *_ = arm.step(np.ones(1, np.float32))
    np.testing.assert_array_equal(observation[keys.IMAGE], drawn(float(observation[keys.ACHIEVED_GOAL][0])))


@pytest.mark.parametrize("sampler", [None, lambda env, rng: rng.uniform(-2, 2)])
def test_the_environment_goes_its_own_way(sampler):
    """Photographs leave no trace: not in the state, not in its random numbers, not in its clock"""
    env, plain = gym.make(ENV_ID, render_mode="rgb_array", sample_state=sampler), OwnArm()
    observation, own = env.reset(seed=4)[0], plain.reset(seed=4)[0]
    for step in range(20):
        np.testing.assert_array_equal(observation["observation"], own)
        observation, _, _, truncated, _ = env.step(np.full(1, 0.3, np.float32))
        own = plain.step(np.full(1, 0.3, np.float32))[0]
        assert truncated == (step == 19)
        if step == 10:
            env.get_wrapper_attr("ask_for")([1.0], np.zeros((64, 64, 3), np.uint8))
    again = gym.make(ENV_ID, render_mode="rgb_array", sample_state=sampler).reset(seed=4)[0]
    first = gym.make(ENV_ID, render_mode="rgb_array", sample_state=sampler).reset(seed=4)[0]
    for key, value in first.items():
        np.testing.assert_array_equal(again[key], value)


def test_goals_can_be_asked_for(arm):
    picture = np.full((64, 64, 3), 7, np.uint8)
    observation, _ = arm.reset(seed=0, options={"desired_goal": [0.5], "desired_image": picture})
    assert observation[keys.DESIRED_GOAL] == np.float32(0.5)
    np.testing.assert_array_equal(observation[keys.DESIRED_IMAGE], picture)
    before = arm.achieved_goal
    observation = arm.ask_for([0.25], picture + 1)
    assert (arm.desired_goal, arm.achieved_goal) == (np.float32(0.25), before)
    for goal, image, message in (
        ([0.5], None, "Give desired_image, or to_state"),
        ([0.5, 1], picture, "1 finite numbers"),
        ([np.nan], picture, "finite"),
        ([0.5], picture[:8], "shape"),
        ([0.5], "pose.png", "str"),
    ):
        with pytest.raises(InputError, match=message):
            arm.ask_for(goal, image)
    assert arm.desired_goal == np.float32(0.25)
    placed = own_arm.own_arm("rgb_array", to_state=lambda env, goal: float(goal[0]))
    placed.reset(seed=1)
    np.testing.assert_array_equal(placed.ask_for([0.5])[keys.DESIRED_IMAGE], drawn(0.5))


def test_rewards_and_success_are_of_the_goal():
    near, far = np.zeros((2, 1)), np.array([[0.05], [0.5]])
    dense, sparse, own = (own_arm.own_arm("rgb_array", reward=reward) for reward in ("dense", "sparse", "env"))
    np.testing.assert_allclose(dense.compute_reward(far, near, [{}, {}]), [-0.05, -0.5])
    np.testing.assert_array_equal(sparse.compute_reward(far, near, [{}, {}]), [1, 0])
    for env in (dense, sparse, own):
        env.reset(seed=0)
        observation, reward, _, _, info = env.step(np.zeros(1, np.float32))
        if env is own:
            assert reward == -abs(env.unwrapped.angle)
            assert not hasattr(env, "compute_reward")
        else:
            goals = observation[keys.ACHIEVED_GOAL], observation[keys.DESIRED_GOAL]
            assert reward == pytest.approx(env.compute_reward(*goals, info))
        assert info["is_success"] == (abs(env.achieved_goal - env.desired_goal) <= 0.1)
    mine = own_arm.own_arm("rgb_array", reward=lambda achieved, desired, info: 5.0)
    mine.reset(seed=0)
    assert mine.step(np.zeros(1, np.float32))[1] == 5.0


def test_an_episode_goes_on_from_its_state(arm):
    arm.reset(seed=0)
    arm.step(np.ones(1, np.float32))
    state = copy.deepcopy(arm.run_state())
    expected = [arm.step(np.ones(1, np.float32))[0] for _ in range(3)] + [arm.reset()[0]]
    other = own_arm.own_arm("rgb_array", sample_state=lambda env, rng: rng.uniform(-2, 2))
    other.restore_run_state(state)
    found = [other.step(np.ones(1, np.float32))[0] for _ in range(3)] + [other.reset()[0]]
    for theirs, ours in zip(expected, found, strict=True):
        for key, value in theirs.items():
            np.testing.assert_array_equal(value, ours[key], err_msg=key)


def test_mistakes_are_named():
    functions = (lambda env: [env.angle], lambda env: env.angle, set_angle)
    with pytest.raises(UnsuitableEnvError, match="render_mode='rgb_array'"):
        PictureGoals(OwnArm(), *functions)
    with pytest.raises(InputError, match=r"dense.*got 'wild'"):
        PictureGoals(OwnArm("rgb_array"), *functions, reward="wild")
    with pytest.raises(InputError, match="vector"):
        PictureGoals(OwnArm("rgb_array"), lambda env: env.angle, *functions[1:])
    of_two = PoseLayout((Part("joints", (2,)),))
    with pytest.raises(InputError, match="1 numbers, and the layout has 2"):
        PictureGoals(OwnArm("rgb_array"), *functions, layout=of_two)
    for tolerance in (0, {"elbow": 1}):
        with pytest.raises(InputError, match="each of state"):
            PictureGoals(OwnArm("rgb_array"), *functions, tolerance=tolerance)
    with pytest.raises(UnsuitableEnvError, match="of its own"):
        PictureGoals(own_arm.own_arm("rgb_array"), *functions)
    with pytest.raises(UnsuitableEnvError, match="'model' and 'data'"):
        PictureGoals.mujoco(OwnArm("rgb_array"))


def test_agents_imitate_and_are_measured_in_it(arm, monkeypatch):
    monkeypatch.setattr("sb3_mimic.agents.evaluation.N_READ_POSES", 5)
    env = gym.wrappers.TimeLimit(arm, 20)
    agent = Agent(PPO(StatePolicy, env, n_steps=8, batch_size=8, device="cpu"))
    measures = evaluate(agent, env, 3, show_progress=False)
    assert {"success", "joint_error_deg", "success_from_image", "translator_joint_error_deg"} <= measures.keys()
    assert not {"held", "success_2cm", "success_from_image_read_once"} & measures.keys()
    picture = env.reset(seed=0)[0][keys.DESIRED_IMAGE]
    first, second = imitate(agent, env, [picture, picture], n_steps=6)
    assert (len(first.frames), first.frames[0].shape) == (4, (480, 960, 3))
    assert second.taken.shape == (1,)


# Before MuJoCo is imported; where there is a display, any other works too
os.environ.setdefault("MUJOCO_GL", "egl")


@pytest.fixture(params=["Reacher-v5", "Pusher-v5"])
def mujoco_id(request, free_opengl):
    """Ids whose pictures can be drawn here: without a display that needs libegl1, or libosmesa6 and MUJOCO_GL=osmesa"""
    env = gym.make(request.param, render_mode="rgb_array", width=64, height=64)
    try:
        env.reset()
        env.render()
    except Exception as error:
        pytest.skip(f"MuJoCo cannot draw: {error}")
    finally:
        env.close()
    del env
    free_opengl()
    return request.param


def test_mujoco_is_ready_made(mujoco_id):
    env = PictureGoals.mujoco(gym.make(mujoco_id, render_mode="rgb_array", width=64, height=64))
    plain = gym.make(mujoco_id)
    observation, own = env.reset(seed=3)[0], plain.reset(seed=3)[0]
    rng = np.random.default_rng(0)
    for step in range(15):
        np.testing.assert_array_equal(observation["observation"], own)
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        observation, own = env.step(action)[0], plain.step(action)[0]
        if step == 5:
            env.ask_for(np.full(env.pose_layout.dim, 0.25))
    assert env.observation_space.contains(observation)
    # What is asked for can be looked at: the same state has the same picture
    goal = rng.uniform(-1, 1, env.pose_layout.dim).astype(np.float32)
    asked = env.ask_for(goal)
    np.testing.assert_allclose(asked[keys.DESIRED_GOAL], goal, atol=1e-6)
    env._set_state(env.unwrapped, env._to_state(env.unwrapped, goal))
    env._look()
    np.testing.assert_array_equal(env._observe()[keys.IMAGE], asked[keys.DESIRED_IMAGE])
    assert len(np.unique(asked[keys.DESIRED_IMAGE])) > 10
    assert len(env.joint_names) == env.pose_layout.dim
    assert env.pose_layout["joints"].unit == "rad"
    with pytest.raises(UnsuitableEnvError, match="no hinge or slide tail"):
        PictureGoals.mujoco(env.env, joints=["tail"])
    env.close()
    plain.close()


def test_a_training_is_continued_exactly(tmp_path):
    def weights(model: PPO) -> np.ndarray:
        return np.concatenate([value.detach().numpy().ravel() for value in model.policy.parameters()])

    env = gym.make(ENV_ID, render_mode="rgb_array")
    model = PPO(StatePolicy, env, n_steps=24, batch_size=24, seed=1, device="cpu")
    model.learn(96, callback=RunStateCallback(str(tmp_path), save_freq=48))
    again = PPO.load(tmp_path / "rl_model_48_steps.zip", gym.make(ENV_ID, render_mode="rgb_array"), device="cpu")
    again.learn(96, callback=RunStateCallback(str(tmp_path / "again"), resume_from=str(tmp_path / "rl_model_48_steps.zip")))
    np.testing.assert_array_equal(weights(again), weights(model))
