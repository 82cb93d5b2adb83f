"""Policies and extractors: what they look at, and that they learn."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from learning import ENV_ID, ON_POLICY, SMALL, parameters_of, picture_space
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_mimic import keys
from sb3_mimic.errors import ObservationSpaceError
from sb3_mimic.extractors import FusedExtractor, PixelExtractor, StateExtractor
from sb3_mimic.policies import FusedPolicy, PixelPolicy, RecurrentStatePolicy, StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.convnet import ConvNetTranslator


@pytest.mark.parametrize("policy", ON_POLICY)
def test_every_policy_learns_with_its_extractor(policy, make_model):
    model = make_model(policy)
    assert type(model.policy.features_extractor) is ON_POLICY[policy][0]
    before = {name: value.clone() for name, value in model.policy.named_parameters()}
    # At the end of the training, the translator's learning rate is zero; its scales begin alike for all pictures
    model.learn(512, callback=TranslatorCallback())
    for name, value in model.policy.named_parameters():
        assert not th.equal(before[name], value), f"{name} was not trained"


@pytest.mark.parametrize("policy", [StatePolicy, RecurrentStatePolicy])
def test_weights_are_the_same_with_and_without_the_translator(policy, make_model):
    with_callback = make_model(policy)
    with_callback.learn(384, callback=TranslatorCallback())
    without = make_model(policy)
    without.learn(384)
    for (name, ours), theirs in zip(
        parameters_of(with_callback.policy).items(), parameters_of(without.policy).values(), strict=True
    ):
        assert th.equal(ours, theirs), name
    assert not any(
        th.equal(ours, theirs)
        for ours, theirs in zip(
            parameters_of(with_callback.policy, True).values(), parameters_of(without.policy, True).values(), strict=True
        )
    )


def test_stacked_frames_show_motion_and_the_first_frame_shows_none(make_model):
    model = make_model(PixelPolicy, n_stack=2)
    features = []
    for observation in (model.env.reset(), model.env.step(np.ones((2, 2), np.float32))[0]):
        tensors = {key: th.from_numpy(value) for key, value in observation.items()}
        features.append(model.policy.extract_features(tensors).detach().numpy())
    assert features[0].shape == (2, 8)
    velocities = [each[:, 2:4] for each in features]
    assert (velocities[0] == 0).all(), "before an episode's first frame there was nothing"
    assert (velocities[1] != 0).all()


def test_state_policy_never_looks_at_pictures(make_model):
    model = make_model()
    observation = model.env.reset()
    black = {**observation, **{key: np.zeros_like(observation[key]) for key in keys.IMAGE_KEYS}}
    np.testing.assert_array_equal(
        model.predict(observation, deterministic=True)[0], model.predict(black, deterministic=True)[0]
    )


@pytest.mark.parametrize("policy", [PixelPolicy, FusedPolicy])
def test_policies_that_see_their_goal_look_at_its_picture(policy, make_model):
    model = make_model(policy)
    observation = model.env.reset()
    hidden = {**observation, keys.DESIRED_IMAGE: np.zeros_like(observation[keys.DESIRED_IMAGE])}
    actions = [model.predict(each, deterministic=True)[0] for each in (observation, hidden)]
    assert not np.array_equal(*actions)
    assert keys.DESIRED_GOAL not in observation


NEEDED = {
    StateExtractor: keys.STATE_KEYS,
    PixelExtractor: keys.IMAGE_KEYS,
    FusedExtractor: (keys.OBSERVATION, keys.ACHIEVED_GOAL, keys.DESIRED_IMAGE),
    ConvNetTranslator: (keys.IMAGE, keys.ACHIEVED_GOAL),
}
READS = {PixelExtractor: keys.IMAGE, FusedExtractor: keys.DESIRED_IMAGE, ConvNetTranslator: keys.IMAGE}


@pytest.mark.parametrize("who", NEEDED)
def test_missing_keys_are_named(who):
    arguments = {"state_dim": 5} if who in (PixelExtractor, FusedExtractor) else {}
    for key in keys.STATE_KEYS + keys.IMAGE_KEYS:
        space = picture_space(**{key: None})
        if key in NEEDED[who]:
            with pytest.raises(ObservationSpaceError, match=f"lacks {key}"):
                who(space, **arguments)
        else:
            who(space, **arguments)
    with pytest.raises(ObservationSpaceError, match="Dict"):
        who(spaces.Box(-1, 1, (3,)), **arguments)


@pytest.mark.parametrize(("who", "seen"), READS.items())
def test_pictures_that_are_none_are_refused(who, seen):
    for shape, dtype in ((64, 64, 3), np.uint8), ((3, 64, 64), np.float32):
        with pytest.raises(ObservationSpaceError, match=r"uint8 picture with channels first.*norm_obs_keys"):
            who(picture_space(**{seen: spaces.Box(0, 255, shape, dtype)}), state_dim=5)


def test_a_picture_that_may_be_one_frame_or_several_is_asked_about():
    space = picture_space(4)
    with pytest.raises(ObservationSpaceError, match="n_channels=1"):
        PixelExtractor(space, 5)
    with pytest.raises(ObservationSpaceError, match="n_channels=3"):
        PixelExtractor(space, 5, n_channels=3)
    assert PixelExtractor(space, 5, n_channels=1).windows == {keys.IMAGE: 4, keys.DESIRED_IMAGE: 1}
    assert PixelExtractor(space, 5, n_channels=4).windows == {keys.IMAGE: 1, keys.DESIRED_IMAGE: 1}
    assert PixelExtractor(picture_space(1), 5).n_channels == 1
    assert PixelExtractor(picture_space(6), 5).windows == {keys.IMAGE: 2, keys.DESIRED_IMAGE: 1}
    assert PixelExtractor(picture_space(3), 5, n_channels=1).windows == {keys.IMAGE: 3, keys.DESIRED_IMAGE: 1}


@pytest.mark.parametrize("n_stack", [2, 3])
@pytest.mark.parametrize("policy", ON_POLICY)
def test_all_kinds_of_policies_take_stacked_observations(policy, n_stack, make_model):
    model = make_model(policy, n_stack=n_stack, n_steps=16, batch_size=16, policy_kwargs={"translator_kwargs": SMALL})
    n_read = 2 if "Pixel" in policy.__name__ else 8
    assert model.policy.translator.state_dim == n_read, "one pose, not several"
    model.learn(64, callback=TranslatorCallback())
    observation = model.env.reset()
    assert model.predict(observation, deterministic=True)[0].shape == (2, 2)


def test_what_is_missing_is_that_of_the_newest_pose():
    extractor = FusedExtractor(
        picture_space(6, **{key: spaces.Box(-1, 1, (4,), np.float32) for key in (keys.OBSERVATION, keys.ACHIEVED_GOAL)}), 2
    )
    observation = {key: th.zeros(1, 4) for key in (keys.OBSERVATION, keys.ACHIEVED_GOAL)}
    observation[keys.ACHIEVED_GOAL][0] = th.tensor([9.0, 9.0, 1.0, 2.0])
    # In place of a picture that was read before
    features = extractor({**observation, keys.DESIRED_IMAGE: th.tensor([[5.0, 7.0]])})
    assert features[0, -4:].tolist() == [5, 7, 4, 5]


def test_small_distances_are_magnified_where_that_is_asked_for():
    pose = {keys.ACHIEVED_GOAL: th.tensor([[0.2, 0.5]]), keys.DESIRED_GOAL: th.tensor([[0.21, -0.5]])}
    space = picture_space(**dict.fromkeys(keys.STATE_KEYS, spaces.Box(-1, 1, (2,), np.float32)))
    felt = {keys.OBSERVATION: th.zeros(1, 2), **pose}
    seen = {keys.IMAGE: pose[keys.ACHIEVED_GOAL], keys.DESIRED_IMAGE: pose[keys.DESIRED_GOAL]}
    expected = np.concatenate(([0.01, -1], np.tanh([0.1, -10]), np.tanh([0.3, -30])))
    for who, observation in (StateExtractor, felt), (FusedExtractor, {**felt, **seen}), (PixelExtractor, seen):
        arguments = {} if who is StateExtractor else {"state_dim": 2}
        extractor = who(space, magnification=[10, 30], **arguments)
        features = extractor(observation)
        assert features.shape == (1, extractor.features_dim)
        np.testing.assert_allclose(features[0, -6:].detach(), expected, rtol=1e-5)
        assert who(space, magnification=10, **arguments).features_dim == extractor.features_dim - 2
        assert who(space, **arguments).features_dim == extractor.features_dim - 4
        for wrong in (0, -3.0, float("nan"), "ten", [10, None]):
            with pytest.raises(ValueError, match="magnification must be a positive number"):
                who(space, magnification=wrong, **arguments)


def test_normalising_pictures_is_refused():
    venv = VecNormalize(make_vec_env(ENV_ID, 1, seed=0))
    with pytest.raises(ValueError, match="norm_obs_keys"):
        PPO(PixelPolicy, venv)
    venv.close()
