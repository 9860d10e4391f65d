"""Fingerprints: one digest over configuration, inputs and the code that will run, so that `release` knows what is done.

The code part follows a verb's own imports inside `pipelines`, so a change in the report does not retrain the teacher.
"""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent.parent
_ONNX = ("onnx", "onnxruntime")
_RECORDED = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy", "scikit-learn", *_ONNX)


def fingerprint(*parts: Any) -> str:
    """Return the hex sha256 of `parts`: dataclasses, mappings (in any order), sequences, paths and plain values."""
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of a file's bytes, read in constant memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def code_fingerprint(module: str) -> str:
    """Return a digest of the source of `pipelines.<module>` and of all in `pipelines` that it imports, transitively.

    Templates count as source of the folder they stand in.
    """
    modules = _reachable(f"pipelines.{module}")
    templates = {template for folder in {path.parent for path in modules} for template in folder.glob("*.j2")}
    return fingerprint({str(path.relative_to(_PACKAGE)): file_sha256(path) for path in sorted(modules | templates)})


def package_versions() -> dict[str, str]:
    """Return the installed versions of the libraries that decide what an artifact contains."""
    found = {}
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


def _source(module: str) -> Path | None:
    path = _PACKAGE.parent.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _reachable(start: str) -> set[Path]:
    seen: set[Path] = set()
    waiting = [start]
    while waiting:
        path = _source(waiting.pop())
        if path is None or path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipelines"):
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names if alias.name.startswith("pipelines")]
    return seen
