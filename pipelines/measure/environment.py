"""The machine a figure was measured on: without it a latency means nothing. Names no host and reads no repository."""

import math
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from pipelines.artifacts.fingerprint import package_versions

# instruction sets that decide how fast fp32, bf16 and int8 matrix products are
_FLAGS = {
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),  # x86
    *("asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme"),  # Arm
}


def describe_environment() -> dict[str, Any]:
    """Return CPU, memory, limits, system and library versions as plain data; null where the system does not say.

    `load_average` is the mean number of busy processes in the last minute before measuring: above zero means company.
    """
    model, flags = _cpu(Path("/proc/cpuinfo"))
    return {
        "cpu": {
            "model": model or platform.processor() or None,
            "architecture": platform.machine(),
            "logical_cores": psutil.cpu_count(logical=True),
            "physical_cores": psutil.cpu_count(logical=False),
            "usable_cores": usable_cores(),
            "container_limit_cores": cpu_limit(),
            "flags": flags,
        },
        "memory_bytes": psutil.virtual_memory().total,
        "load_average": round(psutil.getloadavg()[0], 2),
        "system": {"name": platform.system(), "release": platform.release(), "python": platform.python_version()},
        "versions": package_versions(),
    }


def usable_cores() -> int:
    """Return how many threads this process can keep busy: its affinity, cut down to the container's limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cpu_limit()
    return cores if limit is None else max(1, min(cores, math.floor(limit)))


def cpu_limit(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return how many cores the container may use, from cgroup v2 or v1, the tightest of all levels; None without a
    limit.

    Args:
        root: where control groups are mounted.
        membership: which groups this process is in.
    """
    if not membership.is_file():
        return None
    limits = []
    for line in membership.read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            limits += [_limit_v2(folder / "cpu.max") for folder in _levels(root, group)]
        elif "cpu" in controllers.split(","):
            limits += [_limit_v1(folder) for folder in _levels(root / "cpu", group)]
    return min((limit for limit in limits if limit is not None), default=None)


def _levels(mount: Path, group: str) -> list[Path]:
    """Return the folders from the mount down to the group: a limit on any of them counts."""
    parts = [part for part in group.split("/") if part]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def _limit_v2(path: Path) -> float | None:
    if not path.is_file():
        return None
    quota, period = path.read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _limit_v1(folder: Path) -> float | None:
    quota, period = folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
    if not quota.is_file() or not period.is_file() or int(quota.read_text()) < 0:
        return None
    return int(quota.read_text()) / int(period.read_text())


def _cpu(cpuinfo: Path) -> tuple[str | None, list[str]]:
    """Return the model name and the flags that matter, from the first processor listed (Arm calls them Features)."""
    if not cpuinfo.is_file():
        return None, []
    entries = [line.split(":", 1) for line in cpuinfo.read_text().split("\n\n")[0].splitlines() if ":" in line]
    fields = {key.strip().lower(): value.strip() for key, value in entries}
    flags = fields.get("flags") or fields.get("features") or ""
    return fields.get("model name"), sorted(_FLAGS & set(flags.split()))
