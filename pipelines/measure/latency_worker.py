"""What a latency process does: open, warm up, put texts through, write raw times. `latency` starts it and reads the
figures out.

    python -m pipelines.measure.latency_worker REQUEST.json RESPONSE.json

A fresh process per measurement, so that load time, memory and thread pools belong to one runtime alone.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipelines.measure.runtimes import Runtime, RuntimeConfig, open_runtime


def main(request_file: str, response_file: str) -> None:
    """Do what the request asks and write the response."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    tasks: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"latency": latency, "interleaved": interleaved}
    response = tasks[request["task"]](request)
    Path(response_file).write_text(json.dumps(response), encoding="utf-8")


def latency(request: dict[str, Any]) -> dict[str, Any]:
    """Time one runtime: seconds to load, per single text, and per pass over all texts; peak memory in bytes.

    The first Offline pass is not timed: it grows the memory that later passes use again.
    """
    texts = request["texts"]
    load_seconds, runtime = _timed(lambda: _open(request["contender"], request["threads"]))
    _single_stream(runtime, _cycle(texts, request["first_query"], request["warmup"]))
    single_stream = _single_stream(runtime, _cycle(texts, request["first_query"], request["queries"]))
    offline = []
    probabilities = runtime.predict(texts, request["batch_size"])
    for _ in range(request["passes"]):
        seconds, probabilities = _timed(lambda: runtime.predict(texts, request["batch_size"]))
        offline.append(seconds)
    return {
        "load_seconds": load_seconds,
        "single_stream_seconds": single_stream,
        "offline_seconds": offline,
        "peak_memory_bytes": peak_memory(),
        "probabilities": [[float(score) for score in row] for row in probabilities],
    }


def interleaved(request: dict[str, Any]) -> dict[str, Any]:
    """Time two contenders on the same blocks of texts, one right after the other, taking turns in going first.

    Returns:
        seconds: [rounds, blocks, 2], the last axis in the order of the request's contenders.
    """
    texts, size = request["texts"], request["block"]
    blocks = [texts[start : start + size] for start in range(0, len(texts), size)]
    pair = [_open(contender, request["threads"]) for contender in request["contenders"]]
    batch_size = request["batch_size"]
    for runtime in pair:
        _pass(runtime, _cycle(texts, 0, request["warmup"]), batch_size)
    seconds = [[[0.0, 0.0] for _ in blocks] for _ in range(request["rounds"])]
    for number, times in enumerate(seconds):
        for position, block in enumerate(blocks):
            first = (number + position) % 2
            for index in (first, 1 - first):
                times[position][index] = _pass(pair[index], block, batch_size)
    return {"seconds": seconds}


def peak_memory() -> int | None:
    """Return the most bytes of physical memory this process has held; None where the system does not say.

    Linux: VmHWM, not getrusage's maximum, which a child takes over from the process that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def _open(contender: dict[str, str], threads: int) -> Runtime:
    return open_runtime(Path(contender["bundle"]), RuntimeConfig(contender["engine"], contender["file"]), threads)


def _cycle(texts: Sequence[str], start: int, count: int) -> list[str]:
    return [texts[(start + step) % len(texts)] for step in range(count)]


def _single_stream(runtime: Runtime, texts: Sequence[str]) -> list[float]:
    """Return seconds per text, each put in when the one before has come out."""
    return [_timed(lambda text=text: runtime.predict([text], 1))[0] for text in texts]  # type: ignore[misc]


def _pass(runtime: Runtime, texts: Sequence[str], batch_size: int) -> float:
    """Return the seconds for all texts: one after another when `batch_size` is 1, else batched."""
    if batch_size == 1:
        return sum(_single_stream(runtime, texts))
    return _timed(lambda: runtime.predict(texts, batch_size))[0]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter_ns()
    result = work()
    return (time.perf_counter_ns() - start) / 1e9, result


if __name__ == "__main__":
    main(*sys.argv[1:3])
