"""Ray clusters: the same results as without, also where a machine dies in the middle."""

import math
import time
from dataclasses import replace

import pytest

from sb3_mimic.data.collection import POLICIES, collect, plan
from sb3_mimic.data.shards import Shards
from sb3_mimic.data.workers import done
from sb3_mimic.errors import PackageError, WorkerError

ENV_ID = "MimicReacherPlane-v0"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_machine_that_dies_in_the_middle_changes_nothing(tmp_path):
    import ray
    from ray.cluster_utils import Cluster

    manifest = plan(ENV_ID, 2000, "smooth", shard_steps=200)
    collect(tmp_path / "here", manifest, POLICIES["smooth"])
    # It notices at once
    checks = {"period_ms": 500, "timeout_ms": 500, "failure_threshold": 3, "initial_delay_ms": 500}
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": {f"health_check_{k}": v for k, v in checks.items()}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    node = cluster.add_node(num_cpus=1)
    told = []

    def on_steps(n):
        told.append(n)
        if len(told) == 4:
            cluster.remove_node(node, allow_graceful=False)

    try:
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        assert sorted(done(math.isqrt, [1, 4, 9], cluster=cluster.address)) == [(1, 1), (4, 2), (9, 3)]
        with pytest.raises(ValueError, match="nonnegative"):
            list(done(math.isqrt, [1, -1], cluster=cluster.address))
        assert collect(tmp_path / "there", manifest, POLICIES["smooth"], on_steps=on_steps, cluster=cluster.address) == 10
        assert collect(tmp_path / "there", manifest, POLICIES["smooth"], cluster=cluster.address) == 0
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert sum(told) == 2000
    names = [manifest.file_of(index) for index in range(10)]
    assert sorted(path.name for path in (tmp_path / "there").glob("*.safetensors")) == names
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_without_a_cluster_it_says_how_to_begin_one():
    start = time.perf_counter()
    with pytest.raises(WorkerError, match="ray start --head"):
        list(done(math.isqrt, [1], cluster="auto"))
    assert time.perf_counter() - start < 60


@pytest.mark.parametrize("what_they_do", ["they see no such folder", "they write into another one"])
def test_machines_that_do_not_share_the_disk_send_what_they_collect(what_they_do, tmp_path, monkeypatch):
    """The cluster is played by this process"""

    def played(function, jobs, cluster):
        for job in jobs:
            if what_they_do == "they see no such folder":
                yield job, function(replace(job, folder=tmp_path / "nowhere"))
            else:
                # Which looks the same
                manifest.write(elsewhere)
                yield job, function(replace(job, folder=elsewhere))

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("sb3_mimic.data.collection.done", played)
    manifest, told = plan(ENV_ID, 200, "random", shard_steps=100), []
    assert collect(tmp_path / "data", manifest, POLICIES["random"], on_steps=told.append, cluster="auto") == 2
    assert told == [0, 100, 100]
    assert not any(shard.fault() for shard in Shards(tmp_path / "data", is_complete=True))


def test_without_ray_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PackageError, match=r"pip install 'sb3_mimic\[cluster\]'"):
        list(done(math.isqrt, [1], cluster="auto"))
    assert list(done(math.isqrt, [4])) == [(4, 2)]
