"""The studies: what they train, what they make of the results, and that the pages say what they say."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

from benchmarks import faults, rewards
from benchmarks.rewards import BUDGETS, MIXTURES, N_SEEDS, LearningCurve, band, curves, interquartile_mean, spread, table
from sb3_mimic.agents.statistics import FIRST_SEED
from sb3_mimic.envs.make import DEFAULT_REWARD


def record(mixture: str, seed: int, success: list[float], body: str = "MimicReacherPlane") -> rewards.Record:
    return {
        "body": body,
        "mixture": mixture,
        "weights": MIXTURES[mixture].weights,
        "seed": seed,
        "n_timesteps": 2000,
        "n_poses": 32,
        "steps": [0, 1000, 2000],
        "success": success,
        "machine": "a machine",
    }


def test_a_study_trains_draws_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    (tmp_path / "images").mkdir()
    page, results = tmp_path / "rewards.md", tmp_path / "results.jsonl"
    page.write_text("Before\n<!-- rewards -->\nold\n<!-- /rewards -->\nafter\n")
    options = ["--seeds", "1", "--steps", "512", "--poses", "2", "--bodies", "MimicReacherPlane"]
    options += ["--results", str(results), "--docs", str(tmp_path), "--mixtures"]
    rewards.main([*options, "pixel progress"])
    trained = []

    def train(run: rewards.Run) -> rewards.Record:
        trained.append(run.mixture)
        return asdict(run) | {"steps": [0, 512], "success": [0.0, 1.0], "seconds": 1.0, "machine": "a machine"}

    monkeypatch.setattr(rewards, "train", train)
    rewards.main([*options, "pixel progress", "sparse"])
    assert trained == ["sparse"]
    assert "1 of 2 runs" in capsys.readouterr().out
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line["weights"] for line in lines] == [{"pixel_progress": 100.0}, {"sparse": 1.0}]
    for line in lines:
        assert line["steps"] == [0, 512]
        assert all(0 <= success <= 1 for success in line["success"])
    assert page.read_text() == f"Before\n<!-- rewards -->\n{table(lines)}\n<!-- /rewards -->\nafter\n"
    with Image.open(tmp_path / "images" / "rewards.png") as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(10**6)) > 10


def test_a_run_with_other_weights_is_another_run():
    run = rewards.Run("MimicReacherPlane", "sparse", MIXTURES["sparse"].weights, 0, 2000, 32)
    records = [record("sparse", 0, [0, 0, 0])]
    assert rewards.find(run, records) == records[0]
    assert rewards.find(run, [{**records[0], "weights": {"sparse": 2.0}}]) is None
    assert rewards.find(run, [{**records[0], "n_timesteps": 4000}]) is None


def test_the_curve_is_measured_before_during_and_after_training():
    class Once:
        def success(self, model: object) -> float:
            return 0.5

    curve = LearningCurve(Once(), 1000)
    curve.model = None
    for curve.num_timesteps in (0, 600, 1200, 1800, 2400):
        curve._on_rollout_start()
    curve.num_timesteps = 3000
    curve._on_training_end()
    assert curve.steps == [0, 1200, 2400, 3000]
    assert curve.success == [0.5] * 4


def test_interquartile_mean_and_its_band_by_hand():
    assert interquartile_mean(np.array([10.0, 1, 3, 2, 4])) == 3
    assert interquartile_mean(np.array([5.0, 1, 3, 2, 4, 6, 7, 100])) == 4.5
    assert interquartile_mean(np.array([0.25])) == 0.25
    # Of five seeds, one succeeds. Drawn again it comes k times, k ~ B(5, 0.2), and the mean of the middle three is
    # max(k - 1, 0) / 3. P(k >= 3) = 0.058 and P(k >= 4) = 0.007: the upper bound is at k = 3.
    success = np.array([[0.5, 0], [0.5, 0], [0.5, 1], [0.5, 0], [0.5, 0]])
    mean, low, high = band(success)
    np.testing.assert_allclose(mean, [0.5, 0])
    np.testing.assert_allclose(low, [0.5, 0])
    np.testing.assert_allclose(high, [0.5, 2 / 3])


def test_the_table_by_hand():
    successes = ([0, 0.5, 1], [0, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0.8, 1])
    records = [record("joint distance", seed, success) for seed, success in enumerate(successes)]
    records += [record("sparse", seed, [0, 0, 0.25]) for seed in range(5)]
    steps, success = curves(records)["MimicReacherPlane"]["joint distance"]
    assert steps == [0, 1000, 2000]
    np.testing.assert_array_equal(success, successes)
    rows = table(records).splitlines()
    # At 1,000 steps the middle three are 0.8, 1 and 1
    assert rows[2] == "| joint distance | `joint_distance: -1` | 1.00 [1.00, 1.00] | 1,000 |"
    assert rows[3] == "| sparse | `sparse: 1` | 0.25 [0.25, 0.25] | - |"
    assert "5 trainings, seeds 0 to 4" in rows[-1]
    assert rows[-1].endswith("a machine.")


def test_names_in_the_figure_are_spread_but_stay_in_order():
    assert spread([0.0, 0.5], 0.1) == [0.0, 0.5]
    assert spread([0.0, 0.02, 0.05, 0.9], 0.1) == pytest.approx([0, 0.1, 0.2, 0.9])
    assert spread([0.98, 0.99, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])
    assert spread([], 0.1) == []


def test_the_page_says_what_the_results_say():
    records = rewards.read(rewards.RESULTS)
    text = (REPOSITORY / "docs" / "rewards.md").read_text()
    assert f"<!-- rewards -->\n{table(records)}\n<!-- /rewards -->" in text
    by_body = curves(records)
    assert by_body.keys() == BUDGETS.keys()
    for by_name in by_body.values():
        assert len(by_name) >= 6
        assert all(len(success) == N_SEEDS for _, success in by_name.values())
    assert {line["n_timesteps"] for line in records} == set(BUDGETS.values())
    assert max(line["seed"] for line in records) < rewards.FIRST_SEED < FIRST_SEED - rewards.N_POSES


def test_the_default_is_among_what_was_compared():
    assert DEFAULT_REWARD in [line["weights"] for line in rewards.read(rewards.RESULTS)]


@pytest.mark.slow
def test_a_fault_is_tried_and_told(monkeypatch, tmp_path):
    monkeypatch.setattr(faults, "N_STEPS", 1280)
    table = tmp_path / "reliability.md"
    table.write_text("<!-- faults -->\n<!-- /faults -->\n")
    monkeypatch.setattr("sys.argv", ["faults", "--only", "Ctrl-C (SIGINT)", "--table", str(table)])
    faults.main()
    row = table.read_text().splitlines()[3]
    assert "Continue with: sb3-mimic resume MimicReacherPlane-v0_1" in row
    assert row.endswith("| yes, bit by bit the same end |")
