"""Run one function in several processes that train together: data parallel on processors or GPUs of one machine."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

Result = TypeVar("Result")


def in_processes(count: int, function: Callable[..., Result], *arguments: Any) -> Result:
    """Return `function(*arguments)` of the first of `count` processes; with one, it is called right here.

    Args:
        count: processes; they share the threads that this one may use.
        function: importable by name, as the processes start from nothing.
        arguments: what can be pickled.
    """
    if count == 1:
        return function(*arguments)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=f"qinglang-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    threads = max(1, torch.get_num_threads() // count)
    result: Result = elastic_launch(config, _with_threads)(threads, function, *arguments)[0]
    return result


def _with_threads(threads: int, function: Callable[..., Result], *arguments: Any) -> Result:
    torch.set_num_threads(threads)
    return function(*arguments)
