"""
Trains predictors on the same collection, those that foresee frames with as many updates each, and compares what they foresee.

    python -m benchmarks.foresight --env MimicReacherPlane-v0
    python -m benchmarks.foresight --env MimicReacher3D-v0 --only pose --ship

What is there is not trained again; ``--ship`` puts the one that foresees poses where ``sb3-mimic foresee`` finds it. They are
measured on episodes of seeds of their own, with the translator of the shipped agent reading what they foresee.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from skimage.metrics import structural_similarity

import sb3_mimic  # noqa: F401  # registers the environments
from benchmarks.study import DOCS, REPOSITORY, machine
from sb3_mimic import keys
from sb3_mimic.agents import load_agent
from sb3_mimic.agents.foreseeing import FILE, let_draw, psnr
from sb3_mimic.agents.statistics import bootstrap_interval
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.data.collection import POLICIES, collect, plan
from sb3_mimic.data.shards import ACTION, Shards
from sb3_mimic.foresight import PosePredictor, VideoPredictor, load_predictor, save_predictor
from sb3_mimic.foresight.baselines import LastFrame
from sb3_mimic.foresight.files import Origin, new_predictor
from sb3_mimic.foresight.pose_training import PoseSettings, fit_pose_predictor
from sb3_mimic.foresight.training import ForesightSettings, Regime, fit_predictor
from sb3_mimic.runs.shipped import predictors_folder
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.training import torch_threads

N_STEPS, N_MEASURED, MEASURED_SEED = {"MimicReacherPlane-v0": 80_000, "MimicReacher3D-v0": 120_000}, 8_000, 1_000_000
N_SEEN, HORIZON, TOLD, N_WINDOWS = 8, 20, (1, 5, 10, 20), 200
MEASURES = {"psnr": ("PSNR, dB", 1), "ssim": ("SSIM", 3), "degrees": ("joint error read, deg", 2)}

HEAD = f"| | {' | '.join(title for title, _ in MEASURES.values())} | after 10 steps |\n|---|{'---|' * len(MEASURES)}---|"

CARD = """# What {env_id} will see

Foresees the poses that a robot comes to, from the frames that it saw and the actions that it took and will take, and draws
them with the environment's camera: `sb3_mimic.foresight.PosePredictor`, made by

```bash
python -m benchmarks.foresight --env {env_id} --only pose --ship
```
from {n_steps} steps of smooth random actions (`sb3-mimic collect`). See it at work, and use it:

```bash
sb3-mimic foresee --env {env_id} -o foreseen.gif
```
```python
from sb3_mimic.agents.foreseeing import find_predictor, let_draw

predictor = find_predictor("{env_id}")
let_draw(predictor, env)
frames = predictor.predict(frames_so_far, actions)
```
It knows this robot, this camera and this light, and actions as they were collected. Of things that a robot touches it knows
nothing.

{figures}
"""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """What is compared: a predictor, how it was trained, and what it is called in the table."""

    predictor: str
    regime: Regime
    title: str

    @property
    def name(self) -> str:
        return f"{self.predictor}-{self.regime}"


ENTRIES = (
    Entry("pose", "free", "poses, drawn; free rollout"),
    Entry("pose", "teacher", "poses, drawn; teacher forcing"),
    Entry("convlstm", "free", "ConvLSTM with motion kernels; free rollout"),
    Entry("convlstm", "scheduled", "the same; scheduled sampling"),
    Entry("convlstm", "teacher", "the same; teacher forcing"),
    Entry("simvp", "free", "SimVP"),
    Entry("cnn", "free", "feed-forward CNN; free rollout"),
    Entry("lstm", "free", "LSTM without convolutions; free rollout"),
)


def made(kind: str, shards: Shards) -> VideoPredictor:
    """:return: A new predictor for a collection, the same each time"""
    th.manual_seed(0)
    return new_predictor(kind, shards)


def trained(entry: Entry, shards: Shards, n_updates: int, folder: Path) -> VideoPredictor:
    """:return: A predictor, trained now if it has not been before"""
    path = folder / f"{entry.name}.safetensors"
    if not path.is_file():
        predictor, start = made(entry.predictor, shards), time.process_time()
        if isinstance(predictor, PosePredictor):
            fit_pose_predictor(predictor, shards, PoseSettings(is_free=entry.regime == "free"))
        else:
            fit_predictor(predictor, shards, ForesightSettings(n_updates=n_updates, regime=entry.regime))
        told = {"cpu_seconds": time.process_time() - start, "machine": machine()}
        path.with_suffix(".json").write_text(json.dumps(told))
        save_predictor(predictor, path, Origin(shards.manifest.env_id, shards.manifest.env_kwargs, shards.manifest.renderer))
        print(f"{entry.name}: trained in {told['cpu_seconds']:.0f} s of a processor", flush=True)
    return load_predictor(path)[0]


def measured(
    predict: Callable[[npt.NDArray[Any], npt.NDArray[Any]], npt.NDArray[np.uint8]],
    windows: dict[str, npt.NDArray[Any]],
    read: Callable[[npt.NDArray[np.uint8]], FloatArray],
    true: FloatArray,
) -> dict[str, FloatArray]:
    """:return: By measure, shape (n_windows, len(TOLD))"""
    found: dict[str, list[FloatArray]] = {name: [] for name in MEASURES}
    steps = np.array(TOLD) - 1
    for index in range(len(true)):
        frames, actions = windows[keys.IMAGE][index], windows[ACTION][index, :-1]
        came, foreseen = frames[N_SEEN:][steps], predict(frames[:N_SEEN], actions)[steps]
        found["psnr"].append(psnr(came, foreseen))
        found["ssim"].append(
            np.array([structural_similarity(a, b, channel_axis=2) for a, b in zip(came, foreseen, strict=True)])
        )
        found["degrees"].append(np.rad2deg(np.abs(read(foreseen) - true[index][steps]).mean(axis=1)))
    return {name: np.stack(values) for name, values in found.items()}


def row(title: str, found: dict[str, FloatArray]) -> str:
    """:return: A row of the table: means of each measure"""
    cells = []
    for name, (_, n_digits) in MEASURES.items():
        means = found[name].mean(axis=0)
        cells.append(" / ".join(f"{value:.{n_digits}f}" for value in means))
    low, high = bootstrap_interval(found["degrees"][:, TOLD.index(10)])
    return f"| {title} | {' | '.join(cells)} | [{low:.2f}, {high:.2f}] |"


def ship(env_id: str, path: Path, figures: str) -> None:
    """Puts a predictor where it is found, with a card beside it."""
    folder = predictors_folder() / env_id
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / FILE)
    (folder / "README.md").write_text(CARD.format(env_id=env_id, n_steps=f"{N_STEPS[env_id]:,}", figures=figures))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.foresight", description=__doc__)
    parser.add_argument("--env", default="MimicReacherPlane-v0", help="default: %(default)s")
    parser.add_argument("--updates", type=int, default=500, help="of those that foresee frames (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", help=f"some of: {', '.join(entry.name for entry in ENTRIES)}, or their predictors"
    )
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "logs" / "foresight", help="where all of it lies")
    parser.add_argument("--ship", action="store_true", help="write the shipped predictor and its card")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page lies")
    args = parser.parse_args(arguments)
    chosen = [entry for entry in ENTRIES if not args.only or {entry.name, entry.predictor} & set(args.only)]
    folder = args.folder / args.env
    sets = {}
    for name, n_steps, seed in (("data", N_STEPS.get(args.env, 120_000), 0), ("measured", N_MEASURED, MEASURED_SEED)):
        collect(folder / name, plan(args.env, n_steps, "smooth", seed), POLICIES["smooth"])
        sets[name] = Shards(folder / name, is_complete=True)
    data, kept = sets["data"], sets["measured"]
    starts = kept.starts(N_SEEN + HORIZON)
    starts = starts[np.linspace(0, len(starts) - 1, N_WINDOWS).astype(np.int64)]
    windows = kept.windows(starts, N_SEEN + HORIZON, (keys.IMAGE, ACTION, keys.ACHIEVED_GOAL))
    layout = kept.manifest.layouts[keys.ACHIEVED_GOAL]
    true = np.asarray(layout.joints(windows[keys.ACHIEVED_GOAL])[:, N_SEEN:], np.float64)
    translator: Translator = load_agent(args.env).translator
    rows, costs = [], []

    def read(frames: npt.NDArray[np.uint8]) -> FloatArray:
        return np.asarray(layout.joints(translator.predict(frames)), np.float64)

    with torch_threads(1), closing(gym.make(args.env)) as env:
        env.reset(seed=0)
        for entry in chosen:
            predictor = trained(entry, data, args.updates, folder)
            let_draw(predictor, env)
            rows.append(row(entry.title, measured(predictor.predict, windows, read, true)))
            print(rows[-1], flush=True)
            told = json.loads((folder / f"{entry.name}.json").read_text())
            costs.append(f"{entry.title} {told['cpu_seconds']:.0f} s")
        height, width, n_channels = data.manifest.columns[keys.IMAGE].shape
        space = spaces.Dict({keys.IMAGE: spaces.Box(0, 255, (n_channels, height, width), np.uint8)})
        last = LastFrame(space, data.manifest.columns[ACTION].shape[0])
        rows.append(row("the last frame, copied", measured(last.predict, windows, read, true)))
    exact = np.rad2deg(np.abs(read(windows[keys.IMAGE][:, N_SEEN:]) - true).mean(axis=2))[:, np.array(TOLD) - 1]
    perfect = {"psnr": np.full_like(exact, np.inf), "ssim": np.ones_like(exact), "degrees": exact}
    rows.append(row("the simulator itself", perfect))
    table = "\n".join((HEAD, *rows))
    told = (
        f"{len(true)} windows of `{args.env}`, smooth actions, seed {MEASURED_SEED}; means after {', '.join(map(str, TOLD))}"
        f" steps, of the last column 95 % bootstrap intervals. Trained on {len(data):,} frames, those that foresee frames with"
        f" {args.updates} updates; processor time: {', '.join(costs)}. {machine()}"
    )
    write_between_marks(args.docs / "foresight.md", args.env, f"{table}\n\n{told}")
    if args.ship:
        ship(args.env, folder / "pose-free.safetensors", f"{table}\n\n{told}")
    print(f"{table}\n\n{told}")


if __name__ == "__main__":
    main()
