"""Pictures in and out: hostile ones, every mode, the truth in a photograph, animations written as their frames come."""

import io
import json
import struct
import tracemalloc
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from sb3_mimic.errors import OutputError, PictureError
from sb3_mimic.pictures import (
    AnimationWriter,
    enlarge,
    files,
    read_renderer,
    read_truth,
    shrink,
    write_animation,
    write_picture,
    write_truth,
)
from sb3_mimic.writing import check_output, write_whole

ENV_ID = "MimicReacher3D-v0"
POSE = np.arange(9, dtype=np.float32) / 10
RED = np.full((64, 64, 3), (255, 0, 0), np.uint8)


def png_header_only(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be large"""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(picture: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


GOOD_PNG = encoded(Image.new("RGB", (64, 64), "red"), "PNG")
HOSTILE = {
    "text.png": (b"this is no picture", "no PNG or JPEG"),
    "empty.png": (b"", "no PNG or JPEG"),
    "gif.png": (encoded(Image.new("RGB", (64, 64)), "GIF"), "no PNG or JPEG"),
    "bmp.jpg": (encoded(Image.new("RGB", (64, 64)), "BMP"), "no PNG or JPEG"),
    "truncated.png": (GOOD_PNG[: len(GOOD_PNG) // 2], "truncated"),
    "truncated.jpg": (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:700], "truncated"),
    "huge.png": (png_header_only(13000, 13000), "pixels"),
    "bomb.png": (png_header_only(100_000, 100_000), "too many pixels"),
    "hollow.png": (png_header_only(64, 64), "truncated"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_give_one_clear_error(name, tmp_path):
    content, message = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PictureError, match=message) as raised:
        files.read_picture(path, 64, 64)
    assert name in str(raised.value)
    assert read_truth(path, ENV_ID, 9) is None


def test_too_large_a_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    path.write_bytes(GOOD_PNG)
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    with pytest.raises(PictureError, match="MiB"):
        files.read_picture(path, 64, 64)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA", "1"])
def test_pictures_of_every_mode_have_their_colours(mode, tmp_path):
    path = tmp_path / "picture.png"
    picture = Image.new("L", (64, 64), 0)
    picture.paste(255, (0, 0, 64, 32))
    picture.convert(mode).save(path)
    read = files.read_picture(path, 64, 64)
    assert (read[:32] == 255).all()
    assert (read[32:] == 0).all()


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B"])
def test_sixteen_bits_of_grey_are_scaled(mode, tmp_path):
    grey = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    picture = Image.fromarray(grey.astype(np.int32 if mode == "I" else ">u2" if mode == "I;16B" else np.uint16))
    assert picture.mode == mode
    expected = np.rint(grey / 257).astype(np.uint8)
    rgba = np.asarray(files.to_rgba(picture))
    np.testing.assert_array_equal(rgba[..., :3], np.repeat(expected[..., None], 3, axis=-1))
    assert (rgba[..., 3] == 255).all()
    if mode == "I;16":
        picture.save(tmp_path / "grey.png")
        np.testing.assert_array_equal(files.read_picture(tmp_path / "grey.png", 64, 64), rgba[..., :3])


@pytest.mark.parametrize(("kind", "n_channels"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["L", "RGB", "LA", "RGBA"])
@pytest.mark.parametrize("depth", [8, 16])
def test_pngs_of_any_depth_are_read(kind, n_channels, depth, tmp_path):
    """Whatever wrote them: here, by hand"""
    values = np.linspace(0, 65535 if depth == 16 else 255, 48 * 48).round().reshape(48, 48)
    pixels = np.repeat(values[..., None], n_channels, axis=-1)
    if kind in (4, 6):
        pixels[..., -1] = values.max()
    rows = pixels.astype(">u2" if depth == 16 else np.uint8).reshape(48, -1)
    content = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 48, depth, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    read = files.read_full_picture(tmp_path / "picture.png")
    expected = np.rint(values / 257 if depth == 16 else values)
    assert np.abs(read.astype(int) - expected[..., None]).max() <= 1


def test_what_has_no_range_of_colours_is_refused():
    with pytest.raises(PictureError, match="mode F"):
        files.to_rgba(Image.new("F", (8, 8), 0.5))
    with pytest.raises(PictureError, match="0 to 65535, got 70000"):
        files.to_rgba(Image.new("I", (8, 8), 70_000))


def test_printers_colours_are_read(tmp_path):
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (64, 64), (200, 30, 30)).convert("CMYK").save(path, quality=95)
    assert np.abs(files.read_picture(path, 64, 64).astype(int) - (200, 30, 30)).max() < 12


def test_transparency_becomes_white(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(path)
    assert (files.read_picture(path, 64, 64) == 255).all()
    Image.new("RGBA", (64, 64), (255, 0, 0, 128)).save(path)
    assert (files.read_picture(path, 64, 64) == (255, 127, 127)).all()
    palette = Image.new("P", (64, 64), 1)
    palette.putpalette([0, 0, 0, 0, 0, 255])
    palette.save(path, transparency=1)
    assert (files.read_picture(path, 64, 64) == 255).all()


def scene(size: int = 120) -> np.ndarray:
    """A robot of sorts before a white wall"""
    rows, columns = np.mgrid[:size, :size] / size
    picture = np.full((size, size, 3), 255, np.uint8)
    picture[np.abs(rows - columns) < 0.1] = (200, 30, 40)
    picture[(rows - 0.3) ** 2 + (columns - 0.7) ** 2 < 0.02] = (30, 90, 180)
    return picture


def read_from(array: np.ndarray, path, aspect: float = 1.0, **options) -> tuple[np.ndarray, list[str]]:
    told: list[str] = []
    Image.fromarray(array).save(path, **options)
    return files.read_full_picture(path, aspect, told.append), told


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (90, 140, 60)])
@pytest.mark.parametrize(
    "bars",
    [(0, 0, 60, 60), (0, 0, 0, 90), (45, 45, 0, 0), (0, 70, 0, 0), (30, 50, 80, 20)],
    ids=["beside", "right", "letterbox", "below", "all around"],
)
def test_bars_around_a_picture_are_found_and_cut_off(bars, color, tmp_path):
    """Whatever their colour; where that is the picture's own background, nothing of the robot is lost"""
    picture = scene()
    top, bottom, left, right = bars
    framed = np.full((120 + top + bottom, 120 + left + right, 3), color, np.uint8)
    framed[top : top + 120, left : left + 120] = picture
    for name, options in (("picture.png", {}), ("picture.jpg", {"quality": 95, "subsampling": 0})):
        read, told = read_from(framed, tmp_path / name, **options)
        assert "bars" in told[0]
        if color == (255, 255, 255):
            # Nothing tells how far the picture goes, but the robot is all there
            assert abs((read < 150).any(axis=-1).sum() - (picture < 150).any(axis=-1).sum()) < 100
            continue
        assert read.shape == picture.shape
        # At bars JPEG smears a little
        difference = np.abs(read.astype(int) - picture)
        assert difference.max() == 0 if name.endswith("png") else difference[8:-8, 8:-8].mean() < 3


def test_the_background_of_a_robot_is_no_bar(tmp_path):
    """A picture of the right aspect is read as it is, however much of it is of one colour"""
    for picture in (scene(), np.pad(scene(), ((40, 40), (40, 40), (0, 0)), constant_values=255), RED):
        read, told = read_from(picture, tmp_path / "picture.png")
        np.testing.assert_array_equal(read, picture)
        assert told == []


def test_other_aspects_keep_the_height_of_the_view_and_are_told(tmp_path):
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (100, 180, 3)).astype(np.uint8)
    read, told = read_from(wide, tmp_path / "wide.png")
    np.testing.assert_array_equal(read, wide[:, 40:140])
    assert told[0].endswith("wide.png: it is too wide, 180x100: its middle was used, 100x100. Cut it to the robot's own view.")
    narrow = rng.integers(0, 255, (100, 60, 3)).astype(np.uint8)
    narrow[:, 0], narrow[:, -1] = (10, 20, 30), (200, 210, 220)
    read, told = read_from(narrow, tmp_path / "narrow.png")
    np.testing.assert_array_equal(read[:, 20:80], narrow)
    assert (read[:, :20] == (10, 20, 30)).all()
    assert (read[:, 80:] == (200, 210, 220)).all()
    assert "too narrow, 60x100" in told[0]
    assert read_from(wide, tmp_path / "wide.png", aspect=1.8)[1] == []
    with pytest.warns(UserWarning, match=r"wide\.png: it is too wide"):
        assert files.read_picture(tmp_path / "wide.png", 64, 64).shape == (64, 64, 3)


def test_pictures_are_read_at_their_own_resolution_up_to_a_bound(tmp_path):
    expected_small = shrink(scene(960), 64, 64)
    for size, expected in ((40, 40), (480, 480), (1024, 1024), (1500, 1024), (2200, 1024)):
        read, _ = read_from(scene(size), tmp_path / "picture.png", compress_level=1)
        assert read.shape == (expected, expected, 3)
        small = files.read_picture(tmp_path / "picture.png", 64, 64)
        assert small.shape == (64, 64, 3)
        if size >= 480:
            assert np.abs(small.astype(int) - expected_small).mean() < 1


def test_shrinking_takes_the_mean_of_exactly_the_area_of_a_pixel():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 96, 3)).astype(np.uint8)
    blocks = picture.reshape(16, 3, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrink(picture, 24, 16) - blocks).max() <= 0.5 + 1e-9
    # 7.5 pixels to one: as if each pixel were 2 x 2
    larger = rng.integers(0, 255, (480, 480, 1)).astype(np.uint8)
    exact = larger.repeat(2, axis=0).repeat(2, axis=1).reshape(64, 15, 64, 15, 1).mean(axis=(1, 3))
    assert np.abs(shrink(larger, 64, 64) - exact).max() <= 0.5 + 1e-9
    # The finest pattern that there is becomes grey, and no other pattern
    stripes = np.zeros((480, 480, 3), np.uint8)
    stripes[::2] = 255
    grey = shrink(stripes, 64, 64)
    assert np.ptp(grey.astype(int)) <= 255 / 7
    assert shrink(RED, 64, 64) is not RED
    assert shrink(picture, 300, 20).shape == (20, 300, 3)


def test_small_pictures_are_shown_as_squares_and_larger_ones_smoothly():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, ::2] = 255
    assert set(np.unique(enlarge(picture, 480))) == {0, 255}
    smooth = enlarge(shrink(scene(480), 256, 256), 480)
    assert smooth.shape == (480, 480, 3)
    assert np.abs(smooth.astype(int) - scene(480)).mean() < 5
    assert enlarge(scene(960), 480).shape == (480, 480, 3)


def test_exif_orientation_is_honoured(tmp_path):
    path = tmp_path / "picture.jpg"
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste("black", (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    picture.save(path, exif=exif, quality=95)
    read = files.read_picture(path, 64, 64)
    assert read[:20].mean() > 200 > 50 > read[-20:].mean()


def photograph(folder):
    path = folder / "pose.png"
    write_picture(path, RED)
    assert write_truth(path, ENV_ID, POSE, {"elbow": 1.0}) == path
    return path


def test_the_truth_is_in_the_photograph(tmp_path):
    path = photograph(tmp_path)
    np.testing.assert_array_equal(files.read_picture(path, 64, 64), RED)
    np.testing.assert_array_equal(read_truth(path, ENV_ID, 9), POSE)
    assert read_truth(path, "MimicReacherPlane-v0", 8) is None, "it is of another environment"
    moved = path.rename(tmp_path / "moved.png")
    np.testing.assert_array_equal(read_truth(moved, ENV_ID, 9), POSE)
    assert [each.name for each in tmp_path.iterdir()] == ["moved.png"]


def test_what_drew_a_photograph_is_in_its_truth(tmp_path):
    path = photograph(tmp_path)
    assert read_renderer(path) is None
    write_truth(path, ENV_ID, POSE, {}, "raycaster-1")
    assert read_renderer(path) == "raycaster-1"
    np.testing.assert_array_equal(read_truth(path, ENV_ID, 9), POSE)
    for text in ("{", "[]", '{"renderer": 3}', "[" * 10_000):
        write_picture(path, RED, {"sb3_mimic.truth": text})
        assert read_renderer(path) is None
    assert read_renderer(tmp_path / "missing.png") is None


def test_no_camera_takes_pictures_as_narrow_as_a_thread(tmp_path):
    for size in ((4000, 20), (20, 4000), (100_000, 1), (1, 100_000)):
        Image.new("RGB", size, "red").save(tmp_path / "picture.png")
        with pytest.raises(PictureError, match=f"{size[0]}x{size[1]} pixels.*too narrow"):
            files.read_picture(tmp_path / "picture.png", 64, 64)


FOREIGN = [
    "{",
    "[]",
    '{"shapes": [{"label": "arm"}]}',
    '{"env": "MimicReacher3D-v0"}',
    '{"env": "MimicReacher3D-v0", "pose": [1, 2]}',
    '{"env": "MimicReacher3D-v0", "pose": [1, 2], "joints_deg": {}, "version": 5}',
    "[" * 100_000,
    "\udce4",
]


@pytest.mark.parametrize("content", FOREIGN, ids=range(len(FOREIGN)))
def test_json_of_somebody_else_is_neither_read_nor_written(content, tmp_path):
    beside = tmp_path / "pose.json"
    beside.write_bytes(content.encode(errors="surrogateescape"))
    before = beside.read_bytes()
    np.testing.assert_array_equal(read_truth(photograph(tmp_path), ENV_ID, 9), POSE)
    write_picture(tmp_path / "pose.png", RED)
    assert read_truth(tmp_path / "pose.png", ENV_ID, 9) is None
    assert beside.read_bytes() == before


def test_truths_of_before_are_read_and_named_where_damaged(tmp_path):
    write_picture(tmp_path / "pose.png", RED)
    truth = {"env": ENV_ID, "pose": POSE.tolist(), "joints_deg": {"elbow": 1.0}}
    (tmp_path / "pose.json").write_text(json.dumps(truth))
    np.testing.assert_allclose(read_truth(tmp_path / "pose.png", ENV_ID, 9), POSE)
    assert read_truth(tmp_path / "pose.png", "MimicHumanoid-v0", 9) is None
    for pose in ([1, 2], "text", [None] * 9, [float("nan")] * 9):
        (tmp_path / "pose.json").write_text(json.dumps(truth | {"pose": pose}))
        with pytest.raises(PictureError, match=r"pose\.json"):
            read_truth(tmp_path / "pose.png", ENV_ID, 9)
    write_picture(tmp_path / "pose.png", RED, {"sb3_mimic.truth": "{"})
    with pytest.raises(PictureError, match=r"pose\.png holds a truth that is damaged"):
        read_truth(tmp_path / "pose.png", ENV_ID, 9)


def squares(n_frames: int, height: int = 64, width: int = 128):
    for i in range(n_frames):
        frame = np.full((height, width, 3), (240, 240, 240), np.uint8)
        frame[10:20, 3 * i % width : 3 * i % width + 10] = (200, 0, 0)
        yield frame


# imageio's reader of MP4 leaves its pipes to the garbage collector
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_animations_show_every_frame(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    frames = [*squares(20), *[next(squares(1))] * 2]
    write_animation(path, iter(frames), fps=25)
    shown = iio.imread(path)
    assert shown.shape == (22, 64, 128, 3)
    difference = np.abs(shown.astype(int) - np.stack(frames))
    assert difference.max() <= 8 if suffix == ".gif" else difference.mean() < 5
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_gif_plays_for_ever_at_its_speed(tmp_path):
    write_animation(tmp_path / "out.gif", squares(3), fps=20)
    with Image.open(tmp_path / "out.gif") as gif:
        assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (3, 0, 50)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_writing_takes_the_same_memory_however_long(suffix, tmp_path):
    peaks = []
    for n_frames in (20, 100):
        tracemalloc.start()
        write_animation(tmp_path / f"out{suffix}", squares(n_frames, 240, 480), fps=25)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**20, "a frame has 0.33 MiB"


def test_a_broken_animation_leaves_what_was_there(tmp_path):
    path = tmp_path / "out.gif"
    path.write_bytes(b"before")

    def break_off():
        yield from squares(12)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_animation(path, break_off(), fps=25)
    with pytest.raises(PictureError, match="no frame"):
        write_animation(path, [], fps=25)
    with AnimationWriter(tmp_path / "other.gif", 25) as writer:
        writer.write(RED)
        with pytest.raises(PictureError, match=r"shape \(64, 64, 3\), as the first.*got uint8 of shape \(32, 64, 3\)"):
            writer.write(RED[:32])
    assert path.read_bytes() == b"before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other.gif", "out.gif"]


def test_outputs_are_checked_and_written_whole(tmp_path, monkeypatch):
    for path, message in (
        (tmp_path / "missing" / "x.json", "no folder"),
        (tmp_path, "is a folder"),
        (tmp_path / "x.txt", r"written as \.json, got"),
    ):
        with pytest.raises(OutputError, match=message):
            check_output(path, (".json",) if path.suffix else ())
    with monkeypatch.context() as patch:

        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        patch.setattr("pathlib.Path.touch", refuse)
        with pytest.raises(OutputError, match="Permission denied"):
            check_output(tmp_path / "x.json")
    file = tmp_path / "x.json"
    write_whole(file, "before")
    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OutputError, match=r"x\.json"):
        write_whole(file, "after")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
