"""The studies: what they train, what they make of the results, and that the pages say what they say."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from benchmarks import collecting, faults, foresight, her, hindsight, peer, planning, rewards, study, tasks, tracking, videos
from benchmarks.rewards import BUDGETS, MIXTURES, N_SEEDS, curves, interquartile_mean, table
from benchmarks.study import LearningCurve, band, find, read, spread
from sb3_mimic.agents.statistics import FIRST_SEED
from sb3_mimic.envs.make import DEFAULT_REWARD
from sb3_mimic.pictures.spoilt_videos import VIDEO_CORRUPTIONS


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
    assert find(run, records) == records[0]
    assert find(run, [{**records[0], "weights": {"sparse": 2.0}}]) is None
    assert find(run, [{**records[0], "n_timesteps": 4000}]) is None


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
    mean, low, high = band(success, interquartile_mean)
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
    records = read(rewards.RESULTS)
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
    assert DEFAULT_REWARD in [line["weights"] for line in read(rewards.RESULTS)]


def test_ways_of_hindsight_are_trained_drawn_and_not_trained_again(tmp_path, monkeypatch, capsys):
    entry = her.base_entry(her.ENV_ID) | {"learning_starts": 450, "gradient_steps": 1, "batch_size": 32, "n_envs": 4}
    monkeypatch.setattr(her, "base_entry", lambda env_id: entry)
    monkeypatch.setattr(hindsight, "N_ENVS", 2)
    (tmp_path / "images").mkdir()
    page, results = tmp_path / "her.md", tmp_path / "results.jsonl"
    page.write_text("Before\n<!-- her -->\n<!-- /her -->\nafter\n")
    options = ["--steps", "500", "--distance", "200", "--episodes", "3", "--seeds", "0"]
    options += ["--results", str(results), "--docs", str(tmp_path), "--only"]
    her.main([*options, "random-1"])
    (line,) = read(results)
    assert line["replay_buffer_kwargs"] == entry["replay_buffer_kwargs"] | {
        "goal_selection_strategy": "random", "n_sampled_goal": 1
    }  # fmt: skip
    assert line["steps"] == [0, 200, 400, 500]
    assert len(line["success"]) == len(line["seconds"]) == len(line["cpu_seconds"]) == 4
    assert all(0 <= success <= 1 for success in line["success"])
    assert line["seconds"] == sorted(line["seconds"])
    assert line["seconds"][0] == 0 < line["seconds"][-1]
    trained = []

    def train(run: hindsight.Run) -> dict:
        trained.append(run.title)
        return {**line, **asdict(run)}

    monkeypatch.setattr(her, "train", train)
    her.main([*options, "random-1", "future-4-keep"])
    assert trained == ["MimicPushState-v0, future-4-keep, seed 0"]
    assert "1 of 2 runs" in capsys.readouterr().out
    # What is not asked for this time stays on the page
    her.main([*options, "random-1"])
    text = page.read_text()
    assert "| random | 1 | redraw | 1 |" in text
    assert "| future | 4 | keep | 1 |" in text
    assert text.startswith("Before\n<!-- her -->\n![")
    assert text.endswith(f"{line['machine']}.\n<!-- /her -->\nafter\n")
    with Image.open(tmp_path / "images" / "her.png") as picture:
        assert len(picture.convert("RGB").getcolors(10**6)) > 10


def test_all_ways_of_hindsight_are_compared():
    entry = her.base_entry(her.ENV_ID)
    known = her.settings(entry)
    assert len(known) == len({json.dumps(setting, sort_keys=True) for setting in known.values()})
    assert {(each["goal_selection_strategy"], each["n_sampled_goal"]) for each in known.values()} == {
        (strategy, k) for strategy in ("final", "future", "strict_future", "episode", "random") for k in (1, 4, 8)
    }
    plain = [each for name, each in known.items() if name.startswith("future-4")]
    assert {each["already_achieved"] for each in plain} == {"keep", "redraw", 0.1, 0.3}
    assert entry["replay_buffer_kwargs"] in known.values(), "the entry's own is among them"


def test_the_table_of_hindsight_by_hand():
    def line(name: str, seed: int, success: list[float], seconds: list[float]) -> dict:
        setting = {"goal_selection_strategy": "future", "n_sampled_goal": 4, "already_achieved": name}
        run = hindsight.Run(her.ENV_ID, f"future-4-{name}", setting, {}, seed, 10_000)
        cpu_seconds = [second / 2 for second in seconds]
        return asdict(run) | {"steps": [0, 5000, 10_000], "success": success, "seconds": seconds, "cpu_seconds": cpu_seconds,
                              "machine": "a machine"}  # fmt: skip

    records = [line("keep", 0, [0, 0.4, 0.8], [0, 50, 100]), line("keep", 1, [0, 0.8, 1.0], [0, 70, 140])]
    records.append(line("redraw", 0, [0, 0.1, 0.2], [0, 60, 120]))
    rows = her.table(records).splitlines()
    assert rows[0].endswith("| success after 10,000 steps | to 0.5 | to 0.9 |")
    # Of two seeds the bootstrap draws both, or one of them twice
    assert rows[2] == "| future | 4 | keep | 2 | 0.90 [0.80, 1.00] | 5,000 steps, 60 s | 10,000 steps, 120 s |"
    assert rows[3] == "| future | 4 | redraw | 1 | 0.20 [0.20, 0.20] | - | - |"
    assert "A training took 120 s, 60 of them on its core" in rows[-1]
    assert set(her.panels(records)) == {"future, k = 4, already_achieved"}


def test_tasks_are_trained_by_their_own_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(hindsight, "N_ENVS", 2)
    own = tasks.base_entry

    def small(env_id):
        shown = [{"sb3_mimic.her.DemonstrationCallback": {"n_steps": 300, "noise": 0.2}}]
        smaller = {"learning_starts": 450, "gradient_steps": 1, "batch_size": 32, "n_envs": 4}
        return own(env_id) | smaller | {"callback": shown if own(env_id)["callback"] else []}

    monkeypatch.setattr(tasks, "base_entry", small)
    page, results = tmp_path / "manipulation.md", tmp_path / "results.jsonl"
    page.write_text("<!-- tasks -->\n<!-- /tasks -->\n")
    options = ["--steps", "500", "--distance", "200", "--episodes", "2", "--seeds", "0", "--only"]
    options += ["PickAndPlace-held", "Stack", "Reach"]
    tasks.main([*options, "--results", str(results), "--docs", str(tmp_path)])
    records = {record["setting"]: record for record in read(results)}
    assert records.keys() == {"Stack", "Reach", "PickAndPlace-held"}
    rows = page.read_text().splitlines()
    assert rows[1].endswith("| success at the end | to 0.90 | to 0.95 |")
    assert rows[3].startswith("| `MimicReachState-v0` | - | 1 | ")
    assert rows[4].startswith("| `MimicStackState-v0` | 300 demonstrated steps | 1 | ")
    assert rows[5].startswith("| `MimicPickAndPlaceState-v0` | `held_starts=0.5` | 1 | ")
    assert "after 500 steps" in rows[4]


def test_the_page_on_tasks_says_what_the_results_say():
    records = read(tasks.RESULTS)
    records.sort(key=lambda record: (tasks.NAMES.index(record["setting"]), record["seed"]))
    assert tasks.table(records) in (REPOSITORY / "docs" / "manipulation.md").read_text()
    for record in records:
        env_id, entry = tasks.entry_of(record["setting"])
        entry |= {"env_id": env_id, "n_timesteps": int(entry["n_timesteps"])}
        assert record["entry"] | record == record["entry"] | record | entry, "train it anew"
    assert max(line["seed"] for line in records) < study.FIRST_SEED < FIRST_SEED - hindsight.N_EPISODES


def test_the_peer_is_stopped_at_three_times_our_own_time():
    entry = peer.zoo_entry()
    assert entry["batch_size"] == 2048
    assert "512, 512, 512" in entry["policy_kwargs"]
    line = {"setting": peer.OURS, "machine": "a machine", "n_episodes": 50, "steps": [0, 500, 1000]}
    line["entry"] = hindsight.shared_of(tasks.entry_of(peer.OURS)[1])
    ours = [
        line | {"success": [0, 0.8, 1.0], "seconds": [0, 100, 200]},
        line | {"success": [0, 0.9, 1.0], "seconds": [0, 100, 220]},
        line | {"setting": "Reach", "success": [1, 1, 1], "seconds": [0, 1, 2]},
    ]
    of_before = ours[0] | {"entry": {"learning_rate": 1e-4}, "success": [1, 1, 1]}
    assert peer.our_seconds([*ours, of_before]) == (210, 2)
    with pytest.raises(SystemExit, match=r"benchmarks\.tasks --only Push"):
        peer.our_seconds(ours[2:])
    with pytest.raises(SystemExit, match=r"never reached 0\.9"):
        peer.our_seconds([line | {"success": [0, 0.2], "seconds": [0, 1]}])
    theirs = line | {"success": [0, 0.1, 0.05], "seconds": [0, 300, 630], "steps": [0, 500, 900]}
    text = peer.text_of(theirs, *peer.our_seconds(ours))
    assert (
        "stopped after 630 s of one core, 3.0 times as long: it had taken 900 steps, and its best measure was 0.10 of 50"
        in text
    )


def test_a_training_stops_when_its_time_is_over():
    class Unseen:
        def success(self, model):
            return 0.0

    def stop_after(seconds):
        env = make_vec_env("MimicReacherPlaneState-v0", 2)
        model = PPO("MultiInputPolicy", env, n_steps=16, batch_size=32, device="cpu")
        model.learn(64, callback=hindsight.TimedCurve(Unseen(), 1000, seconds))
        env.close()
        return model.num_timesteps

    assert stop_after(None) == 64
    assert stop_after(0.0) == 2


def test_the_page_on_hindsight_says_what_the_results_say():
    order = list(her.settings(hindsight.base_entry(her.ENV_ID)))
    records = sorted(read(her.RESULTS), key=lambda record: (order.index(record["setting"]), record["seed"]))
    assert her.table(records) in (REPOSITORY / "docs" / "her.md").read_text()
    assert len({json.dumps([line["entry"], line["n_timesteps"]]) for line in records}) == 1
    assert max(line["seed"] for line in records) < study.FIRST_SEED < FIRST_SEED - hindsight.N_EPISODES


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


def test_videos_are_followed_by_who_sees_them_and_by_who_is_told(tmp_path):
    (tmp_path / "videos.md").write_text("<!-- tracking -->\n<!-- /tracking -->\n")
    tracking.main(["--env", "MimicReacher3D-v0", "--videos", "2", "--seconds", "0.6", "--docs", str(tmp_path)])
    lines = [line for line in (tmp_path / "videos.md").read_text().splitlines() if "MimicReacher3D" in line]
    assert len(lines) == 3 * (len(tracking.SPEEDS) + 1)
    errors = {tuple(line.split(" | ")[1:3]): float(line.split(" | ")[3].split()[0]) for line in lines}
    for kind in tracking.SPEEDS:
        assert errors[kind, "poses"] < 3
        assert errors[kind, "video"] < errors[kind, "the first pose"]


@pytest.mark.slow
def test_collecting_is_timed(tmp_path):
    (tmp_path / "data.md").write_text("<!-- collecting -->\n<!-- /collecting -->\n")
    collecting.main(["--env", "MimicReacherPlane-v0", "--steps", "300", "--rounds", "1", "--docs", str(tmp_path)])
    lines = (tmp_path / "data.md").read_text().splitlines()
    rates = [float(line.split("|")[2].split()[0].rstrip(",:").replace(",", "")) for line in lines[3:8]]
    assert len(rates) == 5
    assert min(rates) > 10


@pytest.mark.slow
def test_translators_with_and_without_memory_are_compared(capsys, tmp_path):
    (tmp_path / "moving.md").write_text("<!-- videos -->\n<!-- /videos -->\n")
    how = ["--seconds", "2", "--windows", "40", "--videos", "2", "--docs", str(tmp_path)]
    videos.main(["--env", "MimicReacherPlane-v0", *how])
    told = (tmp_path / "moving.md").read_text() + capsys.readouterr().out
    for kind in (videos.CLEAN, *VIDEO_CORRUPTIONS):
        assert f"| {kind} |" in told
    for reader in videos.READERS:
        assert f"{reader}: learnt from" in told


@pytest.mark.slow
def test_predictors_are_compared(tmp_path, monkeypatch):
    env_id = "MimicReacherPlane-v0"
    monkeypatch.setattr(foresight, "N_STEPS", {env_id: 400})
    monkeypatch.setattr(foresight, "N_MEASURED", 200)
    monkeypatch.setattr(foresight, "N_WINDOWS", 6)
    (tmp_path / "foresight.md").write_text(f"<!-- {env_id} -->\n<!-- /{env_id} -->\n")
    how = ["--env", env_id, "--only", "cnn", "--updates", "2", "--folder", str(tmp_path / "logs"), "--docs", str(tmp_path)]
    foresight.main(how)
    rows = [line.split(" | ") for line in (tmp_path / "foresight.md").read_text().splitlines()[3:6]]
    assert [row[0] for row in rows] == [
        "| feed-forward CNN; free rollout",
        "| the last frame, copied",
        "| the simulator itself",
    ]
    errors = [[float(error) for error in row[3].split(" / ")] for row in rows]
    assert len(errors[0]) == len(foresight.TOLD)
    assert errors[2][-1] < errors[1][-1], "the simulator knows better than who copies"


@pytest.mark.slow
def test_plans_and_random_actions_are_compared(tmp_path, monkeypatch):
    env_id = "MimicReacherPlane-v0"
    monkeypatch.setattr(planning, "RESULTS", tmp_path / "planning.jsonl")
    (tmp_path / "foresight.md").write_text(f"<!-- {env_id} plans -->\n<!-- /{env_id} plans -->\n")
    planning.main(["--env", env_id, "--only", "plans-pose", "random", "--episodes", "3", "--docs", str(tmp_path)])
    rows = [line.split(" | ") for line in (tmp_path / "foresight.md").read_text().splitlines()[3:5]]
    assert [float(row[1].split()[0]) for row in rows] == [1.0, 0.0]
    # What has been tried is not tried again
    planning.main(["--env", env_id, "--only", "random", "--episodes", "3", "--docs", str(tmp_path)])
    assert len((tmp_path / "planning.jsonl").read_text().splitlines()) == 2
