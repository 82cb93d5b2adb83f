"""Times how fast steps with pictures are collected into files, beside the bare environment, and how fast they are read."""

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import gymnasium as gym
import numpy as np

import sb3_mimic  # noqa: F401  # registers the environments
from benchmarks.study import DOCS, machine
from sb3_mimic import keys
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.data.collection import POLICIES, collect, plan
from sb3_mimic.data.manifest import Manifest
from sb3_mimic.data.shards import Shards
from sb3_mimic.translator.supervised import FitSettings, fit_shards
from sb3_mimic.translator.training import torch_threads

ENV_ID = "MimicReacher3D-v0"
N_STEPS, N_ROUNDS = 8000, 5
BATCH, WINDOW = 64, 16


def bare(manifest: Manifest) -> float:
    """:return: Steps in a second of the environment alone, random actions, resets included"""
    with closing(gym.make(manifest.env_id, **manifest.env_kwargs)) as env:
        env.reset(seed=0)
        # What is compiled when it is first used
        env.step(env.action_space.sample())
        start = time.perf_counter()
        for _ in range(manifest.n_steps):
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        return manifest.n_steps / (time.perf_counter() - start)


def collected(manifest: Manifest, folder: Path, n_workers: int) -> float:
    """:return: Steps in a second that are collected, all that it takes included"""
    start = time.perf_counter()
    collect(folder, manifest, POLICIES["random"], n_workers)
    return manifest.n_steps / (time.perf_counter() - start)


def read(folder: Path) -> float:
    """:return: Frames in a second that are read in windows drawn at random"""
    shards, rng, n_batches = Shards(folder), np.random.default_rng(0), 20
    starts = shards.starts(WINDOW)
    start = time.perf_counter()
    for _ in range(n_batches):
        chosen = starts[np.sort(rng.integers(len(starts), size=BATCH))]
        shards.dataset(chosen, WINDOW, keys.IMAGE, keys.ACHIEVED_GOAL)
    return n_batches * BATCH * WINDOW / (time.perf_counter() - start)


def learnt(folder: Path, output: Path) -> float:
    """:return: Frames in a second that a translator learns from, on one thread, with all that it takes"""
    shards = Shards(folder)
    start = time.perf_counter()
    fit_shards(shards, output, FitSettings(n_epochs=1))
    return len(shards) / (time.perf_counter() - start)


def on_ray(manifest: Manifest, folder: Path, n_nodes: int) -> float:
    """:return: Steps in a second that a Ray cluster collects, of nodes of one processor each that have begun already"""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(1, n_nodes):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        first = plan(manifest.env_id, 100 * n_nodes, "random", shard_steps=50)
        collect(folder / "first", first, POLICIES["random"], cluster=cluster.address)
        start = time.perf_counter()
        collect(folder / "all", manifest, POLICIES["random"], cluster=cluster.address)
        return manifest.n_steps / (time.perf_counter() - start)
    finally:
        ray.shutdown()  # type: ignore[no-untyped-call]
        cluster.shutdown()


def main(arguments: Sequence[str] | None = None) -> None:
    """Time all in turn, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collecting", description=__doc__)
    parser.add_argument("--env", default=ENV_ID, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=N_STEPS, help="of each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=N_ROUNDS, help="default: %(default)s")
    parser.add_argument("--ray", action="store_true", help="clusters of one and of two nodes, too (sb3_mimic[cluster])")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page lies")
    args = parser.parse_args(arguments)
    manifest = plan(args.env, args.steps, "random")
    rounds: list[list[float]] = []
    with torch_threads(1), tempfile.TemporaryDirectory() as temporary:
        for index in range(args.rounds):
            folder = Path(temporary) / str(index)
            alone, one = bare(manifest), collected(manifest, folder, 1)
            two = collected(manifest, Path(temporary) / f"{index}-two", 2)
            rounds.append([alone, one, one / alone, two, two / one, read(folder)])
        rate = learnt(folder, Path(temporary) / "fit")
        nodes = [on_ray(manifest, Path(temporary) / f"ray-{n}", n) for n in (1, 2)] if args.ray else []
    alone, one, ratio, two, gain, reading = np.median(rounds, axis=0)
    shared = (
        [
            f"| steps collected by Ray clusters of one node and of two, begun before | {nodes[0]:,.0f} and {nodes[1]:,.0f},"
            f" {nodes[1] / nodes[0]:.2f} of one |"
        ]
        if nodes
        else []
    )
    text = "\n".join((
        "| | a second |",
        "|---|---|",
        f"| steps of the bare environment, with its picture | {alone:,.0f} |",
        f"| steps collected into files, one process | {one:,.0f}, {ratio:.2f} of the bare environment |",
        f"| the same in two processes, their start included | {two:,.0f}, {gain:.2f} of one |",
        *shared,
        f"| frames read in windows of {WINDOW} | {reading:,.0f} |",
        f"| frames that `convnet` learns from, one thread | {rate:,.0f}: reading is {reading / rate:.0f} times as fast |",
        "",
        f"`{args.env}`, medians of {args.rounds} rounds of {args.steps:,} steps, interleaved. {machine()}.",
    ))  # fmt: skip
    print(text)
    write_between_marks(args.docs / "data.md", "collecting", text)


if __name__ == "__main__":
    main()
