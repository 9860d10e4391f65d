import json
from pathlib import Path

import pytest

from pipelines.measure.environment import cpu_limit, describe_environment


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_says_what_a_latency_depends_on():
    environment = describe_environment()
    json.dumps(environment, allow_nan=False)
    assert environment["cpu"]["logical_cores"] >= 1
    assert environment["memory_bytes"] > 2**20
    assert {"torch", "onnxruntime", "numpy"} <= set(environment["versions"])
    assert set(environment["system"]) == {"name", "release", "python"}, "no host name"


@pytest.mark.parametrize(("content", "limit"), [("150000 100000\n", 1.5), ("max 100000\n", None)])
def test_reads_the_limit_of_cgroup_v2(tmp_path: Path, content: str, limit: float | None):
    write(tmp_path / "membership", "0::/service/worker\n")
    write(tmp_path / "root" / "service" / "worker" / "cpu.max", content)
    assert cpu_limit(tmp_path / "root", tmp_path / "membership") == limit


def test_the_tightest_level_counts(tmp_path: Path):
    write(tmp_path / "membership", "0::/service/worker\n")
    write(tmp_path / "root" / "service" / "cpu.max", "50000 100000\n")
    write(tmp_path / "root" / "service" / "worker" / "cpu.max", "400000 100000\n")
    assert cpu_limit(tmp_path / "root", tmp_path / "membership") == 0.5


@pytest.mark.parametrize(("quota", "limit"), [("200000", 2.0), ("-1", None)])
def test_reads_the_limit_of_cgroup_v1(tmp_path: Path, quota: str, limit: float | None):
    write(tmp_path / "membership", "5:cpu,cpuacct:/\n1:name=systemd:/\n")
    write(tmp_path / "root" / "cpu" / "cpu.cfs_quota_us", quota)
    write(tmp_path / "root" / "cpu" / "cpu.cfs_period_us", "100000")
    assert cpu_limit(tmp_path / "root", tmp_path / "membership") == limit


def test_no_control_groups_mean_no_limit(tmp_path: Path):
    assert cpu_limit(tmp_path, tmp_path / "absent") is None
