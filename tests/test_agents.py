"""Trained agents in use: replayed as they were trained, whatever wrappers they had, on any environment."""

import shutil
from collections import OrderedDict

import gymnasium as gym
import numpy as np
import pytest
import torch as th
import yaml
from learning import OFF_POLICY, ON_POLICY
from sb3_contrib.common.wrappers import TimeFeatureWrapper
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from sb3_mimic import keys
from sb3_mimic.agents import Agent, Setting, find_agents, load_agent
from sb3_mimic.agents import make_env as make_for
from sb3_mimic.agents.environments import Goals, replay_of
from sb3_mimic.agents.evaluation import evaluate
from sb3_mimic.agents.imitation import follow, imitate
from sb3_mimic.agents.loading import find_agent, find_algo, normalizes_observations
from sb3_mimic.errors import (
    AgentNotFoundError,
    DamagedAgentError,
    InputError,
    NoTranslatorError,
    UnknownEnvError,
    UnreplayableRunError,
    UnsuitableEnvError,
)
from sb3_mimic.policies import FusedPolicy, FusedSACPolicy, PixelPolicy, RecurrentFusedPolicy, StatePolicy

ENV_ID, PLANE, PLANE_STATE = "MimicReacher3D-v0", "MimicReacherPlane-v0", "MimicReacherPlaneState-v0"
TIME_FEATURE = "sb3_contrib.common.wrappers.TimeFeatureWrapper"
N_EPISODES = 6


def with_time_feature(agent: Agent) -> Agent:
    """The same agent as one that was trained with a clock in its observation, and has learnt not to heed it"""
    venv = make_vec_env(PLANE_STATE, wrapper_class=TimeFeatureWrapper)
    normalization = VecNormalize(venv, norm_obs_keys=["observation"], training=False)
    before, after = agent.normalization.obs_rms["observation"], normalization.obs_rms["observation"]
    after.mean[:-1], after.var[:-1], after.count = before.mean, before.var, before.count
    n_seen = len(before.mean)
    model = PPO(StatePolicy, normalization, device="cpu", policy_kwargs=agent.model.policy_kwargs)
    weights = model.policy.state_dict()
    for name, value in agent.model.policy.state_dict().items():
        if name not in weights or not isinstance(value, th.Tensor):
            continue
        if value.shape == weights[name].shape:
            weights[name] = value
        else:
            blind = th.zeros(len(value), 1)
            weights[name] = th.cat((value[:, :n_seen], blind, value[:, n_seen:]), dim=1)
    model.policy.load_state_dict(weights)
    return Agent(model, normalization)


def save_run(folder, env_id: str, agent: Agent, config: dict, arguments: dict | None = None) -> None:
    """A run's folder as the zoo leaves it"""
    run = folder / "ppo" / f"{env_id}_1"
    (run / env_id).mkdir(parents=True)
    agent.model.save(run / f"{env_id}.zip")
    if agent.normalization is not None:
        agent.normalization.save(str(run / env_id / "vecnormalize.pkl"))
    (run / env_id / "config.yml").write_text(yaml.dump(OrderedDict(config)))
    needed = {"algo": "ppo", "conf_file": None, "n_timesteps": 1, "trained_agent": "", "env_kwargs": None}
    (run / env_id / "args.yml").write_text(yaml.dump(OrderedDict({**needed, **(arguments or {})})))


def values_of(measures: dict) -> dict:
    return {name: each["value"] for name, each in measures.items() if isinstance(each, dict) and name != "decision_ms"}


def test_a_run_with_a_wrapper_is_measured_with_it(tmp_path):
    """With the clock, the same agent does the same; without, it would be fed another observation"""
    plain = load_agent(PLANE)
    normalize = {"norm_obs_keys": ["observation"]}
    save_run(tmp_path, PLANE_STATE, with_time_feature(plain), {"env_wrapper": TIME_FEATURE, "normalize": normalize})
    agent = load_agent(PLANE_STATE, folder=str(tmp_path))
    env = make_for(agent)
    assert env.reset(seed=0)[0]["observation"][-1] == 1.0
    assert env.step(env.action_space.sample())[0]["observation"][-1] == pytest.approx(0.99), "as in training: of 100 steps"
    env.close()
    measures = evaluate(agent, PLANE_STATE, N_EPISODES, show_progress=False)
    alone = evaluate(Agent(plain.model, plain.normalization), PLANE_STATE, N_EPISODES, show_progress=False)
    expected = {name: value for name, value in values_of(alone).items() if name in measures}
    assert measures["success"]["value"] > 0.8
    assert values_of(measures) == pytest.approx(expected, abs=1e-3)


def test_arguments_of_a_run_are_those_of_its_measures(tmp_path):
    agent = load_agent(ENV_ID)
    run = tmp_path / "ppo" / f"{ENV_ID}_1"
    shutil.copytree(find_agent(ENV_ID), run)
    path = run / ENV_ID / "args.yml"

    def gravity_of(env_id: str = ENV_ID) -> float:
        env = make_for(load_agent(env_id, folder=str(tmp_path)))
        replayed = env.unwrapped
        replayed.reset(seed=0)
        # What gravity does to an arm at rest
        replayed.step(np.zeros(3))
        sunk = float(np.abs(replayed.robot.qvel).max())
        env.close()
        return sunk

    falls = gravity_of()
    text = path.read_text()
    path.write_text(text.replace("- - env_kwargs\n    - null", "- - env_kwargs\n    - gravity: 0.0"))
    assert falls > 0.1 > 0.05 > gravity_of()
    with_eval = "- - eval_env_kwargs\n    - gravity: 9.81"
    path.write_text(path.read_text().replace("- - eval_env_kwargs\n    - null", with_eval))
    assert gravity_of() == falls
    path.write_text(text)
    config = run / ENV_ID / "config.yml"
    config.write_text(config.read_text() + "  - - env_kwargs\n    - gravity: 0.0\n")
    assert gravity_of() < 0.05
    assert agent.setting == Setting(ENV_ID)


def test_what_cannot_be_replayed_is_named(tmp_path):
    agent = load_agent(PLANE)
    for setting, message in (
        (Setting(PLANE, vec_env_wrapper="sb3_contrib.common.wrappers.Nothing"), "vec_env_wrapper"),
        (Setting(PLANE, env_wrapper="no_such_package.Wrapper"), r"no_such_package.*--gym-packages"),
        (Setting(PLANE, env_wrapper="rl_zoo3.wrappers.NoSuchWrapper"), "NoSuchWrapper"),
        (Setting(PLANE, env_wrapper=[{"rl_zoo3.wrappers.FrameSkip": {"jump": 3}}]), "jump"),
        (Setting(PLANE, env_kwargs={"wind": 3}), "wind"),
    ):
        with pytest.raises(UnreplayableRunError, match=message):
            make_for(Agent(agent.model, agent.normalization, setting))
    with pytest.raises(UnsuitableEnvError, match=r"wrappers that the agent was trained with"):
        make_for(Agent(agent.model, agent.normalization, Setting(PLANE, env_wrapper=TIME_FEATURE)))
    with pytest.raises(UnknownEnvError, match="Give the id"):
        make_for(Agent(agent.model, agent.normalization))


def test_steps_are_counted_in_the_environment_and_not_in_its_wrappers():
    """A wrapper that skips frames acts less often, and is judged at the same moment"""
    agent = load_agent(PLANE)
    skipping = Agent(agent.model, agent.normalization, Setting(PLANE, env_wrapper={"rl_zoo3.wrappers.FrameSkip": {"skip": 4}}))
    env = make_for(skipping, PLANE)
    env.reset(seed=0)
    env.step(np.zeros(2, np.float32))
    assert replay_of(env).n_steps == 4
    env.close()
    assert evaluate(skipping, PLANE_STATE, 2, show_progress=False)["success"]["n"] == 2


@pytest.mark.parametrize("n_stack", [2, 3])
def test_stacked_frames_of_every_kind_reach_the_model_as_in_training(n_stack):
    """What the agent's model is handed is what SB3's own vectorised wrappers hand it"""
    venv = VecNormalize(make_vec_env(PLANE), norm_obs_keys=["observation"])
    venv.reset()
    venv.training = False
    stacked = VecFrameStack(venv, n_stack)
    model = PPO("MultiInputPolicy", stacked, n_steps=8, batch_size=8, device="cpu")
    seen, handed = [], []
    predict = model.predict
    model.predict = lambda observation, *args, **kwargs: handed.append(observation) or predict(observation, *args, **kwargs)
    agent, memory = Agent(model, venv), None
    env = gym.make(PLANE)
    env.reset(seed=3)
    wrapped = model.env
    venv.venv.envs[0].reset(seed=3)
    wrapped.seed(3)
    observation = wrapped.reset()
    own, _ = env.reset(seed=3)
    for _ in range(4):
        seen.append(observation)
        action, memory = agent.act(own, memory)
        own = env.step(action)[0]
        observation = wrapped.step(action[None])[0]
    env.close()
    for theirs, ours in zip(seen, handed, strict=True):
        assert theirs.keys() == ours.keys()
        for key in theirs:
            np.testing.assert_allclose(theirs[key], ours[key], err_msg=key, atol=1e-6)


def test_one_array_is_acted_on_too(make_env):
    """An environment without keys, stacked and normalised"""
    venv = VecNormalize(make_vec_env("CartPole-v1"))
    venv.reset()
    agent = Agent(PPO("MlpPolicy", VecFrameStack(venv, 2), n_steps=8, batch_size=8, device="cpu"), venv)
    measures = evaluate(agent, "CartPole-v1", 2, show_progress=False)
    assert measures["return"]["value"] == measures["episode_steps"]["value"] > 5
    with pytest.raises(UnsuitableEnvError, match=r"one array.*keys achieved_goal"):
        evaluate(agent, PLANE_STATE, 2, show_progress=False)


NORMALIZE = [
    (None, False), (False, False), (True, True), ({"norm_obs_keys": ["observation"]}, True), ({"norm_obs": False}, False),
    ("{'norm_obs': False, 'norm_reward': True}", False), ("dict(norm_obs=False, norm_reward=True)", False),
    ("dict(norm_reward=False)", True), ("not python", True),
]  # fmt: skip


@pytest.mark.parametrize(("normalize", "expected"), NORMALIZE)
def test_whether_a_run_was_normalised_is_read_and_not_searched_for(normalize, expected):
    assert normalizes_observations(normalize) is expected


def test_a_run_without_statistics_or_config_is_loaded(tmp_path, make_env):
    agent = Agent(PPO("MultiInputPolicy", make_env(PLANE_STATE), n_steps=8, batch_size=8, device="cpu"))
    save_run(tmp_path, PLANE_STATE, agent, {"normalize_advantage": False, "policy": "MultiInputPolicy"})
    assert load_agent(PLANE_STATE, folder=str(tmp_path)).normalization is None
    run = tmp_path / "ppo" / f"{PLANE_STATE}_1"
    (run / PLANE_STATE / "config.yml").write_text(yaml.dump({"normalize": True}))
    with pytest.raises(DamagedAgentError, match="statistics are missing"):
        load_agent(PLANE_STATE, folder=str(tmp_path))
    shutil.rmtree(run / PLANE_STATE)
    assert load_agent(PLANE_STATE, folder=str(tmp_path)).setting == Setting(PLANE_STATE)


def test_every_agent_of_a_folder_is_found(tmp_path):
    for name in ("my-Robot-v3", "CartPole-v1", PLANE, ENV_ID):
        (tmp_path / "ppo" / f"{name}_2").mkdir(parents=True)
        (tmp_path / "ppo" / f"{name}_2" / f"{name}.zip").touch()
    (tmp_path / "ppo" / "Acrobot-v1_1").mkdir()
    assert find_agents(folder=str(tmp_path)) == ["CartPole-v1", PLANE, ENV_ID, "my-Robot-v3"]
    assert find_agent("my/Robot-v3", folder=str(tmp_path)) == tmp_path / "ppo" / "my-Robot-v3_2"


def test_the_algorithm_is_found_where_there_is_one(tmp_path):
    def add(algo, name):
        (tmp_path / algo / f"{name}_1").mkdir(parents=True)
        (tmp_path / algo / f"{name}_1" / f"{name}.zip").touch()

    folder = str(tmp_path)
    runs = {"sac": (PLANE, "Own-v0"), "tqc": ("Own-v0", ENV_ID), "ppo": (ENV_ID,), "mine": ("Other-v0",)}
    for algo, names in runs.items():
        for name in names:
            add(algo, name)
    assert find_algo(PLANE, folder) == "sac"
    assert find_agent(PLANE, folder=folder) == tmp_path / "sac" / f"{PLANE}_1"
    assert find_algo(ENV_ID, folder) == "ppo", "which is the default where it can be"
    assert find_agent(ENV_ID, "tqc", folder) == tmp_path / "tqc" / f"{ENV_ID}_1"
    assert find_algo("Other-v0", folder) == "ppo", "which an error then says"
    assert find_algo("MimicStack-v0", folder) == "sac", "whose entry learns it sooner"
    with pytest.raises(AgentNotFoundError, match=r"Own-v0 .*: by sac, tqc\. Choose one: --algo sac\."):
        find_agent("Own-v0", folder=folder)
    assert find_agents(folder=folder) == [PLANE, ENV_ID, "Own-v0"]
    assert find_agents("sac", folder) == [PLANE, "Own-v0"]


def test_easy_mistakes_are_named(make_env):
    agent = load_agent(ENV_ID)
    env = make_env(ENV_ID, render_mode="rgb_array")
    picture = env.reset(seed=0)[0][keys.DESIRED_IMAGE]
    state_only = Agent(PPO("MultiInputPolicy", make_env(PLANE_STATE), n_steps=8, batch_size=8, device="cpu"))
    for wrong, error, message in (
        ((agent, make_env(ENV_ID), [picture]), UnsuitableEnvError, "render_mode='rgb_array'"),
        ((agent, make_env("MimicHumanoid-v0", render_mode="rgb_array"), [picture]), UnsuitableEnvError, "shape"),
        (
            (agent, make_env("MimicReacher6D-v0", render_mode="rgb_array"), [picture]),
            UnsuitableEnvError,
            "Use the id, the arguments",
        ),
        ((agent, make_env("CartPole-v1", render_mode="rgb_array"), [picture]), UnsuitableEnvError, "'ask_for'.*PictureGoals"),
        ((state_only, env, [picture]), NoTranslatorError, "no translator"),
        ((agent, env, [picture[:32]]), InputError, r"Picture 0 must be .*\(64, 64, 3\).*read_full_picture"),
        ((agent, env, [picture, picture.astype(np.float32)]), InputError, "Picture 1 .* got float32"),
        ((agent, env, ["pose.png"]), InputError, "got str"),
    ):
        with pytest.raises(error, match=message):
            next(imitate(*wrong))
    # Without pictures of its own an environment is enough for one that acts on numbers
    state = make_env("MimicReacher3DState-v0", render_mode="rgb_array")
    assert next(imitate(agent, state, [picture], n_steps=4)).frames
    with pytest.raises(InputError, match="at least 2 episodes"):
        evaluate(agent, ENV_ID, 1)


def test_a_wrapped_environment_imitates_as_one_that_is_not(make_env):
    agent = load_agent(PLANE)
    first, second = (make_env(PLANE).reset(seed=seed)[0][keys.DESIRED_IMAGE] for seed in (5, 6))
    taken = []
    for env in (
        make_env(PLANE, render_mode="rgb_array").unwrapped,
        gym.wrappers.RecordEpisodeStatistics(make_env(PLANE, max_episode_steps=500, render_mode="rgb_array")),
        make_for(agent, render_mode="rgb_array"),
    ):
        frames = []
        taken.append([each.taken for each in imitate(agent, env, [first, second], 8, 4, on_frame=frames.append)])
        assert len(frames) == 2 * 3
        env.close()
    np.testing.assert_array_equal(taken[0], taken[2])
    np.testing.assert_allclose(taken[0], taken[1], atol=1e-3)


def test_each_picture_begins_an_episode_for_the_wrappers_of_a_run():
    """The clock runs anew, and the robot stays where it is"""
    agent = load_agent(PLANE)
    setting = Setting(PLANE, env_wrapper=TIME_FEATURE)
    clocked = with_time_feature(agent)
    clocked.setting = setting
    env = make_for(clocked, PLANE)
    env.reset(seed=0)
    for _ in range(5):
        observation = env.step(np.ones(2, np.float32))[0]
    assert observation["observation"][-1] == pytest.approx(0.95)
    goals = Goals.of(env)
    before = goals.achieved
    options = {"keep_pose": True, "desired_goal": goals.desired + 0.01, "desired_image": observation[keys.IMAGE]}
    observation, _ = env.reset(options=options)
    assert observation["observation"][-1] == 1.0
    np.testing.assert_array_equal(goals.achieved, before)
    np.testing.assert_array_equal(observation[keys.DESIRED_IMAGE], options["desired_image"])
    # An agent of numbers is enough to follow a picture with another's eye
    clocked.model.policy.translator = agent.translator
    assert len(list(follow(clocked, env, observation, observation[keys.IMAGE], 3))) == 3
    env.close()


@pytest.mark.parametrize("policy", [FusedPolicy, PixelPolicy, RecurrentFusedPolicy, FusedSACPolicy])
@pytest.mark.parametrize("n_stack", [1, 2])
def test_one_that_sees_its_goal_may_be_told_what_the_picture_shows(policy, n_stack, make_model):
    model = make_model(policy, n_stack=n_stack)
    agent = Agent(model)
    env = gym.make((ON_POLICY | OFF_POLICY)[policy][1])
    observation, _ = env.reset(seed=3)
    assert not agent.reads_goal
    read = agent.translator.predict(observation[keys.DESIRED_IMAGE])
    own, _ = agent.act(observation)
    np.testing.assert_allclose(agent.act(observation, None, read)[0], own, atol=1e-5)
    told, _ = agent.act(observation, None, read + 0.5)
    assert np.abs(told - own).max() > 1e-4
    np.testing.assert_array_equal(agent.act(observation)[0], own)
    # What the picture is of is no longer looked at
    black = {**observation, keys.DESIRED_IMAGE: np.zeros_like(observation[keys.DESIRED_IMAGE])}
    np.testing.assert_array_equal(agent.act(black, None, read + 0.5)[0], told)
    env.close()


@pytest.fixture
def acted_on(monkeypatch):
    """The picture that is shown to an agent, and what it is told of it, of each action"""
    acted_on, act = [], Agent.act

    def listening(agent, observation, memory=None, shown_goal=None):
        acted_on.append((observation[keys.DESIRED_IMAGE], shown_goal))
        return act(agent, observation, memory, shown_goal)

    monkeypatch.setattr(Agent, "act", listening)
    return acted_on


def test_one_that_sees_its_goal_is_told_what_was_read_by_drawing(make_model, monkeypatch, acted_on):
    agent = Agent(make_model(FusedPolicy))
    env = gym.make("MimicReacherPlaneFused-v0", render_mode="rgb_array")
    observation, _ = env.reset(seed=3)
    goal = Goals.of(env).desired
    monkeypatch.setattr(agent.translator, "predict_with_scales", lambda _: (goal + 0.02, np.full(goal.shape, 0.05)))
    picture = observation[keys.DESIRED_IMAGE]
    steps = list(follow(agent, env, observation, picture, 2))
    steps += list(follow(agent, env, observation, picture, 2, refine=False))
    told = [shown_goal for _, shown_goal in acted_on]
    assert told[2:] == [None, None]
    for shown, step in zip(told[:2], steps, strict=False):
        np.testing.assert_allclose(shown, goal, atol=0.005)
        np.testing.assert_array_equal(step.estimate, shown)
    ((imitation),) = imitate(agent, env, [picture], n_steps=1)
    np.testing.assert_allclose(acted_on[-1][1], goal, atol=0.005)
    assert imitation.reading is not None
    # What is no picture of the robot is left to its own eyes
    white = np.full_like(picture, 255)
    list(imitate(agent, env, [white], n_steps=1, force=True))
    list(follow(agent, env, observation, white, 1))
    for shown, shown_goal in acted_on[-2:]:
        assert shown_goal is None
        np.testing.assert_array_equal(shown, white)
    env.close()


def test_one_that_sees_itself_is_shown_what_was_read(make_model, monkeypatch, acted_on):
    agent = Agent(make_model(PixelPolicy))
    env = gym.make("MimicReacherPlanePixels-v0", render_mode="rgb_array")
    observation, _ = env.reset(seed=3)
    goal = Goals.of(env).desired
    monkeypatch.setattr(agent.translator, "predict_with_scales", lambda _: (goal[:2] + 0.02, np.full(2, 0.05)))
    darker = (0.8 * observation[keys.DESIRED_IMAGE]).astype(np.uint8)
    list(follow(agent, env, observation, darker, 1))
    list(imitate(agent, env, [darker], n_steps=1))
    assert len(acted_on) == 2
    for picture, shown_goal in acted_on:
        assert shown_goal is None
        # In the light that its eye knows, and where the target is
        assert np.abs(picture.astype(float) - observation[keys.DESIRED_IMAGE]).mean() < 0.5
    env.close()


def test_an_agent_without_translator_cannot_imitate(make_env):
    model = PPO("MultiInputPolicy", make_env(PLANE_STATE), device="cpu")
    with pytest.raises(NoTranslatorError, match="id with pictures"):
        _ = Agent(model).translator


def test_unknown_ids_are_answered_with_those_much_like_them():
    with pytest.raises(UnknownEnvError, match=r"MimicReacher3-v0'. Did you mean .*MimicReacher3D-v0"):
        make_for(None, "MimicReacher3-v0")
    with pytest.raises(UnknownEnvError, match="no_such_module"):
        make_for(None, "no_such_module:Robot-v0")
