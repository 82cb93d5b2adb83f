"""A translator learns in a thread, and nothing is different for it."""

import copy
import sys
import threading
import time
import traceback

import numpy as np
import pytest
import torch as th
from learning import SMALL, parameters_of, picture_space

from sb3_mimic.data import Dataset
from sb3_mimic.errors import InputError
from sb3_mimic.policies import FusedPolicy, PixelPolicy, StatePolicy, StateSACPolicy
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.training import fit

PICTURE = np.full((64, 64, 3), 127, np.uint8)


def kwargs() -> dict:
    """Of a policy; some algorithms write into them"""
    return {"translator_kwargs": SMALL}


class Delayed(TranslatorCallback):
    """Learns as late as it can"""

    def _measure(self, *args):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.3)
        return super()._measure(*args)


@pytest.mark.parametrize("policy", [StatePolicy, StateSACPolicy])
def test_weights_are_the_same_however_threads_are_scheduled(policy, make_model):
    trained, n_steps = [], 256
    for make, settings in (
        (TranslatorCallback, {"background": False}),
        (TranslatorCallback, {"background": True}),
        (Delayed, {"background": True}),
        (None, {}),
    ):
        # One after the other: replay buffers draw from numpy's global random numbers
        model = make_model(policy, policy_kwargs=kwargs())
        model.learn(n_steps, callback=make and make(train_freq=64, n_validation=8, **settings))
        trained.append(model.policy)
    for other in trained[1:3]:
        assert trained[0].state_dict().keys() == other.state_dict().keys()
        for name, value in trained[0].state_dict().items():
            assert th.equal(value, other.state_dict()[name]), name
    for name, value in parameters_of(trained[0]).items():
        assert th.equal(value, parameters_of(trained[3])[name]), name
    assert all(parameter.grad is None for parameter in trained[1].translator.parameters())


def learn_slowly(translator: ConvNetTranslator) -> str:
    time.sleep(0.2)
    data = Dataset.of_pictures(np.zeros((8, 3, 64, 64), np.uint8), np.ones((8, 5), np.float32))
    fit(translator, data, 2, 4, 1e-2, np.random.default_rng(0))
    return "done"


USES = {
    "predict": lambda translator: translator.predict(PICTURE),
    "scales": lambda translator: translator.predict_with_scales(PICTURE),
    "read": lambda translator: translator.read(th.zeros(2, 1, 3, 64, 64)),
    "forward": lambda translator: translator(th.zeros(2, 1, 3, 64, 64)),
    "state_dict": lambda translator: translator.state_dict(),
    "state_dict of what it is in": lambda translator: th.nn.Sequential(translator).state_dict(),
    "weights": lambda translator: translator.weights(),
    "optimizer": lambda translator: translator.optimizer,
    "copy": copy.deepcopy,
    "the next one": lambda translator: translator.begin_learning(lambda _: None),
}


@pytest.mark.parametrize("use", USES)
def test_whoever_uses_it_waits(use):
    th.set_num_threads(1)
    th.manual_seed(0)
    expected = ConvNetTranslator(picture_space(), **SMALL).eval()
    translator = copy.deepcopy(expected)
    assert learn_slowly(expected) == "done"
    switch_interval = sys.getswitchinterval()
    begun = time.perf_counter()
    learning = translator.begin_learning(learn_slowly)
    assert time.perf_counter() - begun < 0.15, "it goes on meanwhile"
    USES[use](translator)
    assert learning.result() == "done"
    translator.finish_learning()
    assert sys.getswitchinterval() == switch_interval
    for name, value in expected.state_dict().items():
        assert th.equal(value, translator.state_dict()[name]), name


def test_weights_that_are_loaded_are_not_learnt_over():
    translator = ConvNetTranslator(picture_space(), **SMALL)
    fresh = {name: value.clone() for name, value in translator.state_dict().items()}
    translator.begin_learning(learn_slowly)
    translator.load_state_dict(fresh)
    translator.finish_learning()
    assert translator.state_dict().keys() == fresh.keys()
    for name, value in fresh.items():
        assert th.equal(translator.state_dict()[name], value), name


def test_an_error_in_the_thread_ends_the_training_and_loses_nothing(make_model, tmp_path):
    class Broken(TranslatorCallback):
        n_lessons = 0

        def _measure(self, *args):
            self.n_lessons += 1
            if self.n_lessons == 3:
                raise FloatingPointError("the third one fails")
            return super()._measure(*args)

    model = make_model(policy_kwargs=kwargs())
    callback = Broken(background=True, n_validation=8)
    with pytest.raises(FloatingPointError, match="the third one fails") as caught:
        model.learn(640, callback=callback)
    assert "_measure" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert model.num_timesteps <= 512
    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip", device="cpu").policy
    for name, value in model.policy.state_dict().items():
        assert th.equal(loaded.state_dict()[name], value), name
    assert loaded.translator.optimizer.state_dict()["state"][0]["step"] == 2, "what was learnt before"
    model.learn(128, callback=TranslatorCallback(n_validation=8))


def test_an_error_that_somebody_passes_over_is_raised_again(make_model):
    class Broken(TranslatorCallback):
        def _measure(self, *args):
            raise FloatingPointError("it fails")

        def _on_rollout_start(self) -> None:
            super()._on_rollout_start()
            if self._learning is not None:
                with pytest.raises(FloatingPointError):
                    self.model.policy.state_dict()

    with pytest.raises(FloatingPointError, match="it fails"):
        make_model(policy_kwargs=kwargs()).learn(384, callback=Broken(background=True))


class Random(ConvNetTranslator):
    """Draws random numbers when it learns"""

    def forward(self, images, hidden=None):
        return super().forward(th.nn.functional.dropout(images.float(), 0.1, self.training), hidden)


def test_only_what_stays_the_same_learns_in_a_thread(make_model, monkeypatch):
    acting = make_model(FusedPolicy, policy_kwargs=kwargs()), make_model(PixelPolicy, policy_kwargs=kwargs())
    drawing = make_model(policy_kwargs={**kwargs(), "translator_class": Random})
    for model, reason in (*((each, "acts on what the translator reads") for each in acting), (drawing, "random numbers")):
        with pytest.raises(InputError, match=reason):
            model.learn(128, callback=TranslatorCallback(background=True))
        state = th.get_rng_state()
        callback = TranslatorCallback()
        callback.init_callback(model)
        assert not callback._in_background
        assert th.equal(th.get_rng_state(), state)
    for n_processors in (1, 2):
        monkeypatch.setattr("sb3_mimic.translator.callback.n_processors", lambda n=n_processors: n)
        callback = TranslatorCallback()
        callback.init_callback(make_model(policy_kwargs=kwargs()))
        assert callback._in_background == (n_processors == 2)
