"""Terms of rewards that are functions of the user's."""

import copy
import pickle
import re
from inspect import Parameter, Signature

import gymnasium as gym
import numpy as np
import pytest
import yaml
from stable_baselines3 import SAC, HerReplayBuffer

from sb3_mimic.envs.registration import ENV_IDS, WALK_ID
from sb3_mimic.envs.tasks import terms
from sb3_mimic.envs.tasks.rewards import INFO_PARTS, register_reward_term
from sb3_mimic.envs.tasks.walk import BODY_PARTS, STEP_PARTS
from sb3_mimic.errors import EnvArgumentError, MissingInfoError

SEEN = {}
GOAL_IDS = [env_id for env_id in ENV_IDS if env_id != WALK_ID]


def near(joints, desired_joints, sharpness=2.0):
    return np.exp(-sharpness * np.square(joints - desired_joints).mean(axis=-1))


def everything(layout):
    """A function that asks for all that there is to a step"""
    names = [*INFO_PARTS, "achieved_goal", "desired_goal", *parts_of(layout)]

    def function(**parts):
        SEEN.clear()
        SEEN.update(parts)
        n_axes = parts["action"].ndim - 1
        return sum(part.reshape(*part.shape[:n_axes], -1).mean(axis=-1) for part in parts.values())

    function.__signature__ = Signature([Parameter(name, Parameter.KEYWORD_ONLY) for name in names])
    return function


def parts_of(layout):
    return [prefix + part.name for prefix in ("", "desired_", "previous_") for part in layout]


def random_action(env):
    return np.random.default_rng(0).uniform(-1, 1, env.action_space.shape).astype(np.float32)


@pytest.fixture
def register():
    before = dict(terms.REGISTERED)
    yield register_reward_term
    terms.REGISTERED.clear()
    terms.REGISTERED.update(before)


@pytest.mark.parametrize("env_id", GOAL_IDS)
def test_a_function_sees_all_of_a_step_and_of_a_batch(env_id, make_env):
    layout = make_env(env_id).unwrapped.pose_layout
    env = make_env(env_id, reward_weights={"mine": (everything(layout), 2.0), "sparse": 1.0}).unwrapped
    env.reset(seed=0)
    before = env.achieved_goal
    steps = [(*env.step(random_action(env) * (k + 1)), env.achieved_goal, env.desired_goal) for k in range(3)]
    observation, reward, _, _, info, achieved, desired = steps[-1]
    assert set(SEEN) == {*INFO_PARTS, "achieved_goal", "desired_goal", *parts_of(layout)}
    np.testing.assert_array_equal(SEEN["achieved_goal"], achieved)
    for part in layout:
        np.testing.assert_array_equal(SEEN[part.name], part.of(achieved))
        np.testing.assert_array_equal(SEEN[f"desired_{part.name}"], part.of(desired))
    if "joints" in layout:
        np.testing.assert_allclose(SEEN["joints"], env.robot.qpos, atol=1e-5)
    np.testing.assert_array_equal(SEEN["previous_achieved_goal"], steps[-2][5])
    assert not np.array_equal(steps[0][4]["previous_achieved_goal"], steps[1][4]["previous_achieved_goal"])
    np.testing.assert_array_equal(steps[0][4]["previous_achieved_goal"], before)
    for key in ("observation", "image", "desired_image"):
        if key in observation:
            np.testing.assert_array_equal(SEEN[key], observation[key])
    assert reward == info["reward_mine"] + info["reward_sparse"]
    assert isinstance(info["reward_mine"], float)
    # As hindsight does it
    infos = [step[4] for step in steps]
    batch = env.reward.terms(np.array([step[5] for step in steps]), np.array([step[6] for step in steps]), infos)
    assert batch["mine"].shape == (3,)
    np.testing.assert_allclose(batch["mine"], [info["reward_mine"] for info in infos], rtol=1e-12)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_what_is_not_there_is_refused_with_what_is(env_id, make_env):
    if env_id == WALK_ID:
        there = [*STEP_PARTS, *BODY_PARTS, "observation"]
    else:
        there = [*INFO_PARTS, *parts_of(make_env(env_id).unwrapped.pose_layout)]
    with pytest.raises(EnvArgumentError, match="'mine' asks for 'torsion'") as caught:
        gym.make(env_id, reward_weights={"mine": (lambda action, torsion: 0.0, 1.0)})
    for name in there:
        assert re.search(rf"\b{name}\b", str(caught.value))


def test_the_walker_tells_all_of_its_body(make_env):
    def all_of_it(
        speed, height, action, qvel, scaled_qpos, distance, qpos, position, orientation, velocity, spin, tilt, contacts,
        observation, share=0.5,
    ):  # fmt: skip
        SEEN.clear()
        SEEN.update(locals())
        return share * height

    env = make_env(WALK_ID, reward_weights={"tall": (all_of_it, 3.0), "alive": 1.0})
    env.reset(seed=0)
    observation, reward, _, _, info = env.step(random_action(env))
    walker = env.unwrapped.walker
    assert set(SEEN) == {*STEP_PARTS, *BODY_PARTS, "observation", "share"}
    np.testing.assert_array_equal(SEEN["observation"], observation["observation"])
    for name in BODY_PARTS:
        np.testing.assert_array_equal(SEEN[name], getattr(walker, name))
    assert info["reward_tall"] == 3.0 * 0.5 * walker.position[2]
    assert reward == info["reward_tall"] + info["reward_alive"]


@pytest.mark.parametrize("env_id", ["MimicReacher3DState-v0", WALK_ID])
def test_a_registered_name_stands_beside_ours(env_id, register, make_env):
    for _ in range(2):
        # A notebook's cell may be run again
        def lively(qvel):
            return np.abs(qvel).mean(axis=-1)

        register("lively", lively)
    env = make_env(env_id, reward_weights={"lively": 0.5, "stall_torque": -1.0})
    env.reset(seed=0)
    info = env.step(random_action(env))[-1]
    assert info["reward_lively"] > 0 > info["reward_stall_torque"]
    with pytest.raises(EnvArgumentError, match="Did you mean 'lively'"):
        gym.make(env_id, reward_weights={"livly": 0.5})
    with pytest.raises(EnvArgumentError, match="a reward term 'joints_at_limits' already"):
        gym.make(env_id, reward_weights={"joints_at_limits": (near, 0.5)})
    for taken in ("lively", "sparse", "alive"):
        with pytest.raises(EnvArgumentError, match=f"a reward term '{taken}' already"):
            register(taken, near)
    with pytest.raises(EnvArgumentError, match="needs a name"):
        register("", near)
    with pytest.raises(EnvArgumentError, match="needs a function"):
        register("other", 1.0)


def test_yaml_can_name_a_function(tmp_path, monkeypatch, make_env):
    (tmp_path / "my_terms.py").write_text("def calm(qvel):\n    return -abs(qvel).max(axis=-1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    weights = yaml.safe_load("{joint_progress: 1.0, calm: ['my_terms:calm', 0.1]}")
    env = make_env("MimicReacher3DState-v0", reward_weights=weights)
    env.reset(seed=0)
    info = env.step(random_action(env))[-1]
    assert info["reward_calm"] == pytest.approx(-0.1 * np.abs(info["qvel"]).max())


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (("no_such_module:f", 1.0), "'mine' was not found.*module:function"),
        (("math:no_such", 1.0), "'mine' was not found"),
        (("math", 1.0), "'mine' was not found"),
        ((1.0, 1.0), "needs a function and its weight, got 1.0"),
        (("math:pi", 1.0), "needs a function and its weight, got 3.14"),
        ((near,), "a function and its weight"),
        ((lambda qvel: 0.0, float("inf")), "finite number, got inf"),
        # What asks for nothing is no reward, and not called
        (("os:abort", 1.0), "asks for no part"),
        ((lambda *action: 0.0, 1.0), r"asks for '\*action'"),
        ((lambda **info: 0.0, 1.0), r"asks for '\*\*info'"),
    ],
)
@pytest.mark.parametrize("env_id", ["MimicReacher3DState-v0", WALK_ID])
def test_what_is_no_term_is_refused(env_id, weight, message):
    with pytest.raises(EnvArgumentError, match=message):
        gym.make(env_id, reward_weights={"mine": weight})


@pytest.mark.parametrize("env_id", ["MimicReacher3DState-v0", WALK_ID])
def test_a_function_returns_one_number_for_each_step(env_id, make_env):
    for function in (lambda qvel: qvel, lambda qvel: "much", lambda qvel: None):
        env = make_env(env_id, reward_weights={"mine": (function, 1.0)})
        env.reset(seed=0)
        with pytest.raises(EnvArgumentError, match=r"one number for each step.*axis=-1"):
            env.step(random_action(env))


def test_a_function_that_mixes_steps_is_found_out(make_env):
    env = make_env("MimicReacher3DState-v0", reward_weights={"mine": (lambda qvel: np.square(qvel).sum(), 1.0)}).unwrapped
    observation, _ = env.reset(seed=0)
    info = env.step(random_action(env))[-1]
    goals = np.stack([observation["achieved_goal"]] * 2)
    with pytest.raises(EnvArgumentError, match=r"shape \(2,\), got shape \(\)"):
        env.compute_reward(goals, goals, [info, info])


def test_environments_with_own_terms_are_copied(make_env):
    env = make_env("MimicReacher3DState-v0", reward_weights={"near": (near, 1.0)})
    env.reset(seed=0)
    for copied in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        assert copied.step(random_action(env))[1] == copy.deepcopy(env).step(random_action(env))[1]
        copied.close()


@pytest.mark.parametrize(
    "weights", [None, {"near": (near, 1.0), "joint_progress": 1.0}, {"calm": (lambda qvel: -qvel.sum(axis=-1), 1.0)}]
)
def test_hindsight_with_infos_and_without(weights, make_env):
    env = make_env("MimicReacherPlaneState-v0", reward_weights=weights, max_episode_steps=10)

    def learn(**replay):
        model = SAC(
            "MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, replay_buffer_kwargs=replay, learning_starts=20,
            batch_size=16, buffer_size=100, policy_kwargs={"net_arch": [8]}, seed=0, device="cpu",
        )  # fmt: skip
        model.learn(24)

    learn(copy_info_dict=True)
    with pytest.raises(MissingInfoError, match="copy_info_dict=True"):
        learn()


def test_hindsight_needs_no_infos_for_terms_of_goals(make_env):
    env = make_env("MimicReacherPlaneState-v0", reward_weights={"near": (near, 1.0), "keypoint_distance": -1.0})
    observation, _ = env.reset(seed=0)
    goals = np.stack([observation["achieved_goal"], observation["desired_goal"]])
    rewards = env.unwrapped.compute_reward(goals, goals, [{}, {}])
    np.testing.assert_allclose(rewards, [1.0, 1.0])
