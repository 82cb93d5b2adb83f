"""A convolutional LSTM, and the translator that remembers by it."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from learning import picture_space

from sb3_mimic import keys
from sb3_mimic.agents import Agent
from sb3_mimic.data import Dataset
from sb3_mimic.errors import TranslatorClassError
from sb3_mimic.extractors.conv_lstm import ConvLSTM
from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.policies import PixelPolicy, StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.conv_lstm import ConvLSTMTranslator
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.files import load_translator, save_translator
from sb3_mimic.translator.training import fit, read_dataset

SMALL = {"channels": [8, 16, 16, 16], "net_arch": [32], "hidden_size": 16}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_on_maps_of_one_pixel_it_is_torchs_lstm(num_layers, batch_first):
    theirs = th.nn.LSTM(3, 5, num_layers, batch_first=batch_first)
    ours = ConvLSTM(3, 5, 1, num_layers, batch_first)
    for index in range(num_layers):
        to_state, between = ours.input_to_state[index], ours.state_to_state[index]
        to_state.weight.data = getattr(theirs, f"weight_ih_l{index}").data[..., None, None]
        between.weight.data = getattr(theirs, f"weight_hh_l{index}").data[..., None, None]
        to_state.bias.data = (getattr(theirs, f"bias_ih_l{index}") + getattr(theirs, f"bias_hh_l{index}")).data
    given = th.randn(4, 6, 3)
    n_batch = 4 if batch_first else 6
    state = th.randn(2, num_layers, n_batch, 5)
    for hx in (None, tuple(state)):
        output, ends = theirs(given, hx)
        maps, our_ends = ours(given[..., None, None], None if hx is None else tuple(part[..., None, None] for part in hx))
        assert th.allclose(maps[..., 0, 0], output, atol=1e-6)
        for one, other in zip(our_ends, ends, strict=True):
            assert th.allclose(one[..., 0, 0], other, atol=1e-6)


def test_a_state_is_handed_on_and_gradients_go_through_time_and_space():
    lstm = ConvLSTM(2, 4, 3, num_layers=2, batch_first=True)
    maps = th.randn(3, 6, 2, 5, 7, requires_grad=True)
    whole, ends = lstm(maps)
    assert whole.shape == (3, 6, 4, 5, 7)
    first, state = lstm(maps[:, :2])
    second, other_ends = lstm(maps[:, 2:], state)
    assert th.allclose(th.cat((first, second), dim=1), whole, atol=1e-6)
    for one, other in zip(ends, other_ends, strict=True):
        assert one.shape == (2, 3, 4, 5, 7)
        assert th.allclose(one, other, atol=1e-6)
    second[0, -1, :, 2, 3].sum().backward()
    gradient = maps.grad[0].abs().amax(dim=1)
    assert gradient[0].max() > 0, "from the last step to the first"
    assert (gradient[-1] > 0).sum() == 25, "and as far as two kernels of three reach"
    assert not maps.grad[1:].any()


@pytest.mark.parametrize("bad", [{"kernel_size": 4}, {"hidden_size": 0}, {"num_layers": 0}])
def test_sizes_that_do_not_work_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        ConvLSTM(**{"input_size": 2, "hidden_size": 4, **bad})


def dots(n: int, length: int, rng, hidden_share: float = 0.0) -> Dataset:
    """Videos of a dot that moves evenly: where it is, and how fast; in some frames it is hidden"""
    start, speed = rng.uniform(-0.5, 0.5, (n, 1, 2)), rng.uniform(-0.06, 0.06, (n, 1, 2))
    places = start + speed * np.arange(length)[:, None]
    lines = np.linspace(-1, 1, SIZE)
    x, y = places[..., 0, None, None], places[..., 1, None, None]
    ink = np.exp(-((lines - x) ** 2 + (lines[:, None] - y) ** 2) / 0.02)
    ink[rng.random((n, length)) < hidden_share] = 0
    images = np.rint(255 * (1 - ink))[:, :, None].repeat(3, axis=2).astype(np.uint8)
    starts = np.zeros((n, length), bool)
    starts[:, 0] = True
    return Dataset(images, np.concatenate((places, 10 * speed.repeat(length, axis=1)), axis=2).astype(np.float32), starts)


# Smaller pictures are learnt from sooner
SIZE = 36
STATE = {
    keys.ACHIEVED_GOAL: spaces.Box(-1, 1, (4,), np.float32),
    keys.IMAGE: spaces.Box(0, 255, (3, SIZE, SIZE), np.uint8),
}


@pytest.fixture(scope="module")
def readers():
    """Small translators with and without memory, which have learnt dots"""
    frames_only = {name: SMALL[name] for name in ("channels", "net_arch")}
    found = []
    for reader, arguments in ((ConvLSTMTranslator, SMALL), (ConvNetTranslator, frames_only)):
        th.manual_seed(0)
        rng = np.random.default_rng(0)
        translator = reader(picture_space(**STATE), **arguments)
        learnt = dots(256, 8, rng, hidden_share=0.2)
        for rate in (5e-3, 5e-3, 5e-3, 5e-3, 3e-3, 3e-3, 1e-3):
            fit(translator, learnt, 1, 8, rate, rng)
        found.append(translator)
    return found


def test_it_remembers_what_is_hidden_and_reads_how_fast_things_move(readers):
    seen = dots(64, 8, np.random.default_rng(1), hidden_share=0.3)
    with_memory, without = (np.abs(read_dataset(each, seen) - seen.states) for each in readers)
    assert with_memory[:, 4:, :2].mean() < 0.6 * without[:, 4:, :2].mean()
    still = np.abs(seen.states[:, 4:, 2:]).mean()
    assert with_memory[:, 4:, 2:].mean() < 0.6 * still
    assert without[:, 4:, 2:].mean() > 0.8 * still, "which single frames do not show"


def test_frame_by_frame_it_reads_as_in_a_window_and_states_scales(readers):
    translator, video = readers[0], dots(1, 6, np.random.default_rng(2))
    whole = read_dataset(translator, video)[0]
    hidden = None
    for frame, states in zip(video.images[0], whole, strict=True):
        state, hidden = translator.predict(frame.transpose(1, 2, 0), hidden, return_hidden=True)
        np.testing.assert_allclose(state, states, atol=1e-4)
    states, scales = translator.predict_with_scales(video.images[0].transpose(0, 2, 3, 1))
    assert scales.shape == states.shape == (6, 4)
    assert (scales > 0).all()


def test_it_lies_in_a_file_that_says_what_it_is(readers, tmp_path):
    translator = readers[0]
    again, _ = load_translator(save_translator(translator, tmp_path / "reader.safetensors"))
    assert type(again) is ConvLSTMTranslator
    picture = dots(1, 1, np.random.default_rng(3)).images[0, 0].transpose(1, 2, 0)
    np.testing.assert_array_equal(again.predict(picture), translator.predict(picture))


def test_a_policy_is_given_it_by_its_name(make_model, tmp_path):
    model = make_model(StatePolicy, policy_kwargs={"translator_class": "convlstm", "translator_kwargs": SMALL}, n_steps=32)
    model.learn(128, callback=TranslatorCallback(window=8, batch_size=32))
    assert type(model.policy.translator) is ConvLSTMTranslator
    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip", device="cpu")
    picture = np.full((64, 64, 3), 200, np.uint8)
    np.testing.assert_array_equal(loaded.policy.translator.predict(picture), model.policy.translator.predict(picture))
    with pytest.raises(TranslatorClassError, match="convnet, convlstm"):
        make_model(StatePolicy, policy_kwargs={"translator_class": "convlst"})


@pytest.mark.parametrize("n_stack", [1, 2])
def test_an_agent_that_acts_on_what_it_reads_remembers_the_whole_episode(n_stack, make_model):
    model = make_model(
        PixelPolicy, policy_kwargs={"translator_class": "convlstm", "translator_kwargs": SMALL}, n_stack=n_stack
    )
    translator, agent = model.policy.translator, Agent(model)
    # Untrained, it corrects nothing
    with th.no_grad():
        translator.correction.weight.normal_(0, 0.3)
    rng, size = np.random.default_rng(0), (translator.height, translator.width, 3)
    reader = next(module for module in model.policy.modules() if isinstance(module, PoseReadingExtractor))
    shown, memory = [], None
    told: list[dict] = []
    model.policy.features_extractor.register_forward_pre_hook(lambda *_: told.append(dict(reader.known)))
    for _ in range(4):
        shown.append({key: rng.integers(0, 256, size, dtype=np.uint8) for key in reader.windows})
        others = {key: np.zeros(space.shape, space.dtype) for key, space in model.observation_space.spaces.items()}
        _, memory = agent.act(others | shown[-1], memory)
    for key in reader.windows:
        video = th.from_numpy(np.stack([each[key] for each in shown])).permute(0, 3, 1, 2)[None]
        translator.eval()
        with th.no_grad():
            whole, _ = translator(video)
            alone, _ = translator(video[:, -1:])
        assert th.allclose(told[-1][key], whole[0, -1], atol=1e-5)
        assert not th.allclose(told[-1][key], alone[0, -1], atol=1e-3)
    assert not reader.known
