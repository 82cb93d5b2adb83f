"""A translator says how far off it may be, and what drew the pictures that it learnt from."""

import json

import numpy as np
import pytest
import torch as th
from learning import SMALL, picture_space
from safetensors import safe_open
from safetensors.torch import save_file

from sb3_mimic.data import Dataset
from sb3_mimic.errors import InputError
from sb3_mimic.policies import StatePolicy
from sb3_mimic.translator import load_translator, replace_translator, save_translator
from sb3_mimic.translator.augmentation import Augmentation
from sb3_mimic.translator.base import WITHIN_90, Translator
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.files import METADATA_KEY
from sb3_mimic.translator.training import fit, read_with_scales

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3)).astype(np.uint8)


class WithoutScales(ConvNetTranslator):
    """Learns the states alone"""

    read = Translator.read


def noisy(n: int, rng: np.random.Generator) -> Dataset:
    """Grey pictures; the state is their brightness, with Laplace's noise that is larger where it is bright"""
    light = rng.random((n, 1)).astype(np.float32)
    images = np.broadcast_to(np.uint8(255 * light)[..., None, None], (n, 3, 64, 64)).copy()
    noise = rng.laplace(size=(n, 5)) * np.array([0, 0.05, 0.2, 0.2, 0.2]) * np.where(light > 0.5, 4, 1)
    return Dataset.of_pictures(images, np.float32(light + noise))


def small(translator_class: type[ConvNetTranslator] = ConvNetTranslator) -> ConvNetTranslator:
    th.set_num_threads(1)
    th.manual_seed(0)
    return translator_class(picture_space(), **SMALL)


def test_states_are_learnt_as_well_as_without_scales():
    with_scales, without = small(), small(WithoutScales)
    data = noisy(128, np.random.default_rng(0))
    losses = [fit(each, data, 2, 32, 1e-3, np.random.default_rng(1)) for each in (with_scales, without)]
    assert losses[0] == losses[1]
    for name, value in without.state_dict().items():
        assert name.startswith(without.newer_weights) or th.equal(with_scales.state_dict()[name], value), name
    np.testing.assert_array_equal(with_scales.predict(PICTURES), with_scales.predict_with_scales(PICTURES)[0])


def test_nothing_drawn_at_random_changes_by_the_scales():
    th.manual_seed(0)
    ConvNetTranslator(picture_space(), **SMALL)
    state = th.get_rng_state()
    other = small()
    other.fresh_weights()
    assert th.equal(th.get_rng_state(), state)


def test_scales_are_those_of_the_errors_and_coverage_is_kept():
    translator, rng = small(), np.random.default_rng(0)
    assert translator.predict_with_scales(PICTURES)[1] is None
    for rate in (3e-3, 1e-3, 3e-4):
        fit(translator, noisy(1024, rng), 2, 64, rate, rng)
    covered = []
    for _ in range(20):
        fresh = noisy(256, rng)
        read, scales = read_with_scales(translator, fresh)
        errors = np.abs(read - fresh.states)[:, 0]
        covered.append((errors <= WITHIN_90 * scales[:, 0]).mean(axis=0))
        translator.calibrate(errors, scales[:, 0])
    np.testing.assert_allclose(np.mean(covered[10:], axis=0), 0.9, atol=0.05)
    light = fresh.images.mean(axis=(1, 2, 3, 4)) / 255
    assert (np.median(scales[light > 0.6], axis=0) > 2 * np.median(scales[light < 0.4], axis=0))[0, 2:].all()
    single = translator.predict_with_scales(PICTURES[0])
    assert single[0].shape == single[1].shape == (5,)


def test_a_translator_of_ones_own_states_no_scales_unless_it_does():
    class Own(Translator):
        def __init__(self, observation_space, state_dim=None):
            super().__init__(observation_space, state_dim)
            self.head = th.nn.Linear(1, self.state_dim)

        def forward(self, images, hidden=None):
            return self.head(images.float().flatten(2).mean(dim=2, keepdim=True) / 255), None

    class Narrow(ConvNetTranslator):
        def forward(self, images, hidden=None):
            states, hidden = super().forward(images, hidden)
            return states + 1, hidden

    rng = np.random.default_rng(0)
    for translator in (Own(picture_space()), small(Narrow)):
        fit(translator, noisy(64, rng), 1, 16, 1e-3, rng)
        states, scales = translator.predict_with_scales(PICTURES)
        assert scales is None
        np.testing.assert_array_equal(states, translator.predict(PICTURES))


def test_files_hold_scales_and_renderer_and_those_of_before_still_load(tmp_path):
    translator, rng = small(), np.random.default_rng(0)
    fit(translator, noisy(64, rng), 1, 16, 1e-3, rng)
    translator.calibrate(np.ones((4, 5), np.float32), np.full((4, 5), 2, np.float32))
    translator.renderer = "raycaster-1"
    path = save_translator(translator, tmp_path / "new.safetensors")
    loaded, _ = load_translator(path)
    assert loaded.renderer == "raycaster-1"
    for ours, theirs in zip(loaded.predict_with_scales(PICTURES), translator.predict_with_scales(PICTURES), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()[METADATA_KEY])
        weights = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(("scale_head", "calibration"))}  # noqa: SIM118
    del description["renderer"]
    old = tmp_path / "old.safetensors"
    save_file(weights, old, {METADATA_KEY: json.dumps({**description, "version": 2})})
    loaded, _ = load_translator(old)
    replace_translator(translator, old)
    for each in (loaded, translator):
        assert each.predict_with_scales(PICTURES)[1] is None
        assert each.renderer is None


def test_a_policy_keeps_the_name_of_its_renderer(make_model, tmp_path):
    model = make_model(policy_kwargs={"translator_kwargs": SMALL})
    expected = model.env.get_attr("renderer")[0]
    assert model.policy.translator.renderer is None
    model.learn(256, callback=TranslatorCallback(n_validation=8))
    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip", device="cpu").policy.translator
    assert isinstance(expected, str)
    assert loaded.renderer == model.policy.translator.renderer == expected
    assert loaded.calibration.all()
    assert not th.equal(loaded.calibration, th.ones(8)), "it was compared with new frames"


def test_augmented_pictures_are_learnt_from_in_the_same_way_each_time(make_model):
    rng = np.random.default_rng(0)
    data, untouched = noisy(64, rng), noisy(64, np.random.default_rng(0))
    losses = [
        fit(small(), data, 1, 16, 1e-3, np.random.default_rng(1), augmentation)
        for augmentation in (None, Augmentation(), Augmentation())
    ]
    assert losses[0] != losses[1] == losses[2]
    np.testing.assert_array_equal(data.images, untouched.images)
    model = make_model(StatePolicy, policy_kwargs={"translator_kwargs": SMALL})
    seen = []

    class Watched(Augmentation):
        def __call__(self, images, rng, window=1):
            seen.append(images.shape)
            return super().__call__(images, rng, window)

    callback = TranslatorCallback(augmentation={"untouched": 0.5}, batch_size=64)
    callback.augmentation = Watched()
    model.learn(128, callback=callback)
    assert seen == [(64, 3, 64, 64)], "three quarters of 128 frames are a whole batch and a half"
    for bad in ({"fog": 1}, {"untouched": 2}, "strong"):
        with pytest.raises(InputError, match="augmentation"):
            TranslatorCallback(augmentation=bad)
