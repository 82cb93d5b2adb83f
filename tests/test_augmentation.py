"""Pictures that are changed for training, and those that are spoilt for measuring."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from sb3_mimic.errors import InputError, ObservationSpaceError, PictureError
from sb3_mimic.pictures.corruptions import CORRUPTIONS, OTHER_PICTURES, READABLE, corrupt, other_picture
from sb3_mimic.pictures.coverage import estimate_coverage, replace_background
from sb3_mimic.translator.augmentation import Augmentation, examples
from sb3_mimic.translator.augmented_scene import BACKGROUNDS

PROBABILITIES = {field.name: 0.0 for field in dataclasses.fields(Augmentation) if field.name.endswith("_probability")}
COLOUR = np.array([200, 40, 90])


def only(**settings):
    """:return: What changes every picture in one way alone"""
    return Augmentation(**{**PROBABILITIES, "untouched": 0.0, **settings})


def disc_coverage(size=64, radius=14.3, samples=16):
    """:return: How much of each pixel a disc covers, in 0..255, shape (size, size)"""
    places = (np.arange(size * samples) + 0.5) / samples
    inside = (places[:, None] - 0.47 * size) ** 2 + (places[None] - 0.52 * size) ** 2 < radius**2
    return np.rint(255 * inside.reshape(size, samples, size, samples).mean(axis=(1, 3))).astype(np.uint8)


def disc_picture(background=255):
    """:return: An antialiased disc of one colour, shape (64, 64, 3), and its coverage"""
    share = disc_coverage()[..., None] / 255
    return np.rint(share * COLOUR + (1 - share) * background).astype(np.uint8), disc_coverage()


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    pictures = np.full((12, 3, 48, 64), 255, np.uint8)
    for picture in pictures:
        y, x = rng.integers(0, 30, 2)
        picture[:, y : y + 9, x : x + 25] = rng.integers(0, 200, (3, 1, 1))
    return pictures


def test_same_random_numbers_give_the_same_pictures(images):
    before = images.copy()
    changed, again, other = (Augmentation()(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(changed, again)
    assert (changed != other).any()
    assert (changed != images).any()
    np.testing.assert_array_equal(images, before)
    assert changed.dtype == np.uint8
    assert changed.shape == images.shape
    assert changed.flags.c_contiguous
    assert not np.shares_memory(changed, images)


def test_layout_in_memory_does_not_matter(images):
    turned = np.asarray(images.transpose(0, 2, 3, 1).copy()).transpose(0, 3, 1, 2)
    assert not turned.flags.c_contiguous
    np.testing.assert_array_equal(
        Augmentation()(turned, np.random.default_rng(1)), Augmentation()(images, np.random.default_rng(1))
    )


def test_read_only_pictures_can_be_changed(images):
    images.flags.writeable = False
    assert (Augmentation()(images, np.random.default_rng(1)) != images).any()


def test_a_share_of_the_pictures_is_left_as_it_is():
    images = np.full((2000, 1, 8, 8), 100, np.uint8)
    changed = Augmentation(untouched=0.3, noise_probability=1.0, noise=(9, 9))(images, np.random.default_rng(0))
    is_same = (changed == images).all(axis=(1, 2, 3)).mean()
    assert 0.25 < is_same < 0.35


@pytest.mark.parametrize("way", PROBABILITIES)
def test_each_way_alone_changes_pictures_and_none_change_nothing(images, way):
    np.testing.assert_array_equal(only()(images, np.random.default_rng(0)), images)
    changed = only(**{way: 1.0}, backgrounds=BACKGROUNDS[1:])(images, np.random.default_rng(0), window=4)
    assert (changed != images).any(axis=(1, 2, 3)).mean() > 0.6
    # One channel goes the same way, where it has no colours to change
    grey = np.ascontiguousarray(images[:, 1:2])
    is_changed = (only(**{way: 1.0}, backgrounds=BACKGROUNDS[1:])(grey, np.random.default_rng(0), window=4) != grey).any()
    assert is_changed == (way not in ("colour_probability", "grey_probability"))


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_each_background_is_filled_without_touching_the_robot(kind):
    picture, coverage = disc_picture()
    images = np.repeat(picture.transpose(2, 0, 1)[None], 20, axis=0)
    changed = only(background_probability=1.0, backgrounds=(kind,))(images, np.random.default_rng(0))
    is_robot = coverage == 255
    np.testing.assert_array_equal(changed[:, :, is_robot], images[:, :, is_robot])
    is_white = (changed == 255).all(axis=1)[:, coverage == 0].mean()
    assert is_white == 1.0 if kind == "white" else is_white < 0.1


def test_edges_keep_no_fringe_of_the_white_background():
    picture, coverage = disc_picture()
    images = np.repeat(picture.transpose(2, 0, 1)[None], 20, axis=0)
    changed = only(background_probability=1.0, backgrounds=("plain",))(images, np.random.default_rng(0)).astype(float)
    share = coverage / 255
    for one in changed:
        background = one[:, 0, 0]
        expected = share * COLOUR[:, None, None] + (1 - share) * background[:, None, None]
        # What the roundings of picture and coverage leave
        assert np.abs(one - expected).max() <= 3
    assert len(np.unique(changed[:, :, 0, 0], axis=0)) > 15


def test_coverage_of_a_disc_is_found_again():
    picture, coverage = disc_picture()
    estimate = estimate_coverage(picture.min(axis=2))
    assert np.abs(estimate.astype(int) - coverage).max() <= 2
    # So it is for a batch, however it lies in memory
    batch = np.asfortranarray(np.stack([picture.min(axis=2)] * 3))
    np.testing.assert_array_equal(estimate_coverage(batch), [estimate] * 3)


def test_a_ghost_of_another_picture_stays_behind_the_robot():
    picture, coverage = disc_picture()
    images = np.stack([picture.transpose(2, 0, 1), np.zeros((3, 64, 64), np.uint8)])
    shown = np.stack([only(ghost_probability=1.0, ghost=(0.4, 0.4))(images, np.random.default_rng(k))[0] for k in range(12)])
    np.testing.assert_array_equal(shown[:, :, coverage == 255], np.stack([images[0][:, coverage == 255]] * 12))
    levels = {int(one[0, 0, 0]) for one in shown}
    assert levels == {255, 153}


def test_greys_are_grey_and_bars_hide_no_more_than_they_may(images):
    grey = only(grey_probability=1.0)(np.repeat(images, 10, axis=0), np.random.default_rng(0)).astype(int)
    is_grey = (np.ptp(grey, axis=1) <= 1).all(axis=(1, 2)).mean()
    assert 0.35 < is_grey < 0.65
    white = np.full((200, 3, 64, 64), 255, np.uint8)
    hidden = (only(occlusion_probability=1.0, occlusion=0.25)(white, np.random.default_rng(0)) != white).any(axis=1)
    shares = hidden.mean(axis=(1, 2))
    # Slanted bars are longer than straight ones, and lie wholly in the picture seldom
    assert 0.05 < shares.mean() < 0.2
    assert np.quantile(shares, 0.9) < 0.3


def test_noise_and_blur_have_the_size_that_was_asked_for():
    flat = np.full((4, 3, 64, 64), 128, np.uint8)
    noisy = only(noise_probability=1.0, noise=(12, 12))(flat, np.random.default_rng(0)).astype(float)
    assert abs(noisy.std() - 12) < 0.3
    assert abs(noisy.mean() - 128) < 0.3
    edge = np.zeros((1, 1, 64, 64), np.uint8)
    edge[..., 32:] = 255
    blurred = only(blur_probability=1.0, blur=(1.2, 1.2))(edge, np.random.default_rng(0)).astype(float)
    profile = np.diff(blurred[0, 0, 20]) / 255
    places = np.arange(63) - 31
    assert abs(profile.sum() - 1) < 0.02
    assert abs(np.sqrt((profile * places**2).sum()) - 1.2) < 0.1
    assert blurred[0, 0, 0, 0] == 0
    assert blurred[0, 0, -1, -1] == 255


@pytest.mark.parametrize("quality", [20, 50, 80])
def test_artefacts_are_those_of_jpeg(quality):
    picture, _ = disc_picture(background=np.array([135, 206, 235]))
    compress = only(jpeg_probability=1.0, jpeg=(quality, quality))
    ours = compress(picture.transpose(2, 0, 1)[None], np.random.default_rng(0))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    theirs = np.asarray(Image.open(file), float)
    error = np.abs(ours[0].transpose(1, 2, 0) - theirs).mean()
    assert error < 0.3 * np.abs(picture - theirs).mean() + 1.0


WRONG = [
    ({"gain": (1.4, 0.6)}, "gain"),
    ({"gain": 1.0}, "gain"),
    ({"jpeg": (0, 50)}, "jpeg"),
    ({"noise": ("1", "2")}, "noise"),
    ({"blur": (float("nan"), 1.0)}, "blur"),
    ({"untouched": 1.5}, "untouched"),
    ({"untouched": True}, "untouched"),
    ({"occlusion": [0.1, 0.2]}, "occlusion"),
    ({"backgrounds": ()}, "backgrounds"),
    ({"backgrounds": "plain"}, "backgrounds"),
    ({"backgrounds": ["plain", "jungle"]}, "jungle"),
    ({"sharpness": 1.0}, "sharpness"),
]


@pytest.mark.parametrize(("settings", "named"), WRONG, ids=[f"{settings}" for settings, _ in WRONG])
def test_settings_that_are_not_allowed_are_named(settings, named):
    with pytest.raises(InputError, match=named):
        Augmentation.from_settings(settings)


@pytest.mark.parametrize("settings", [1, "true", ["gain"]])
def test_something_else_than_settings_is_refused(settings):
    with pytest.raises(InputError, match="augmentation = "):
        Augmentation.from_settings(settings)


def test_settings_come_from_a_file():
    augmentation = Augmentation.from_settings({"gain": [1, 1], "backgrounds": ["floor"], "untouched": 0})
    assert augmentation == Augmentation(gain=(1.0, 1.0), backgrounds=("floor",), untouched=0.0)
    assert Augmentation.from_settings(augmentation) is augmentation
    assert Augmentation.from_settings(True) == Augmentation()
    assert Augmentation.from_settings(None) is None
    assert Augmentation.from_settings(False) is None


NO_PICTURES = {
    "floats": np.zeros((2, 3, 64, 64)),
    "channels last": np.zeros((2, 64, 64, 3), np.uint8),
    "one picture": np.zeros((3, 64, 64), np.uint8),
    "too small": np.zeros((2, 3, 4, 64), np.uint8),
}


@pytest.mark.parametrize("images", NO_PICTURES.values(), ids=NO_PICTURES)
def test_something_else_than_pictures_is_refused(images):
    with pytest.raises(ObservationSpaceError, match="augmented"):
        Augmentation()(images, np.random.default_rng(0))


def test_no_pictures_give_no_pictures():
    assert Augmentation()(np.zeros((0, 3, 64, 64), np.uint8), np.random.default_rng(0)).shape == (0, 3, 64, 64)


def test_examples_show_every_picture_and_its_changes(images):
    sheet = examples(images[:3], np.random.default_rng(0), n_examples=5)
    assert sheet.shape == (3 * 48, 6 * 64, 3)
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[48:96, :64], images[1].transpose(1, 2, 0))
    assert examples(images[:3, :1], np.random.default_rng(0)).shape[2] == 3


# Corruptions for measuring


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_are_the_same_for_a_seed(name):
    picture, coverage = disc_picture()
    before = picture.copy()
    spoilt = corrupt(picture, name, 3, coverage)
    np.testing.assert_array_equal(spoilt, corrupt(picture, name, 3, coverage))
    np.testing.assert_array_equal(picture, before)
    assert spoilt.dtype == np.uint8
    assert spoilt.shape == picture.shape
    assert (spoilt != picture).any()
    assert not np.shares_memory(spoilt, picture)


def test_corruptions_do_what_they_are_named_after():
    picture, coverage = disc_picture()
    spoilt = {name: corrupt(picture, name, 3).astype(float) for name in CORRUPTIONS}
    assert np.abs(spoilt["darker"] - 0.7 * picture).max() <= 0.5
    np.testing.assert_array_equal(spoilt["brighter"], np.minimum(picture + 30.0, 255))
    assert abs((spoilt["noise"] - picture)[coverage == 255].std() - 10) < 1
    assert np.ptp(spoilt["grey-scale"], axis=2).max() == 0
    np.testing.assert_array_equal(spoilt["inverted"], 255.0 - picture)
    hidden = (spoilt["bar"] != picture).any(axis=2).mean()
    assert abs(hidden - 0.2) < 0.02
    for name in ("grey", "blue", "gradient", "random"):
        there = spoilt[f"{name} background"]
        np.testing.assert_array_equal(there[coverage == 255], picture[coverage == 255])
        assert (there[coverage == 0] != 255).any(axis=1).mean() > 0.9
    assert set(READABLE) == set(CORRUPTIONS) - {"inverted"}


def test_backgrounds_are_replaced_by_the_coverage_that_is_told():
    picture, coverage = disc_picture()
    background = np.array([135.0, 206.0, 235.0])
    expected, _ = disc_picture(background)
    replaced = replace_background(picture, background, coverage)
    assert np.abs(replaced.astype(int) - expected).max() <= 1
    # A robot that is white itself can be told from the background by its coverage alone
    white = np.full((8, 8, 3), 255, np.uint8)
    whole = np.full((8, 8), 255, np.uint8)
    np.testing.assert_array_equal(replace_background(white, background, whole), white)
    assert (replace_background(white, background) == background).all()


@pytest.mark.parametrize("name", OTHER_PICTURES)
def test_other_pictures_are_the_same_for_a_seed_and_all_different(name):
    pictures = [other_picture(name, seed) for seed in range(4)]
    np.testing.assert_array_equal(pictures[1], other_picture(name, 1))
    assert all(picture.shape == (64, 64, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert all((pictures[k] != pictures[0]).any() for k in (1, 2, 3))
    assert all(picture.std() > 15 for picture in pictures)
    assert other_picture(name, 0, height=300, width=200).shape == (300, 200, 3)


def test_wrong_corruptions_are_refused():
    picture, coverage = disc_picture()
    with pytest.raises(InputError, match=r"'foggy'.*darker"):
        corrupt(picture, "foggy", 0)
    with pytest.raises(InputError, match=r"'cat'.*landscape"):
        other_picture("cat", 0)
    with pytest.raises(PictureError, match="float64"):
        corrupt(picture.astype(float), "darker", 0)
    with pytest.raises(PictureError, match=r"\(64, 64\)"):
        corrupt(coverage, "darker", 0)
    with pytest.raises(PictureError, match="does not belong"):
        corrupt(picture, "darker", 0, coverage[1:])
