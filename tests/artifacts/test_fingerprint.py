"""A fingerprint changes with what decides a result, and with nothing else."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts.fingerprint import file_sha256, fingerprint, package_versions

PACKAGE = Path(__file__).resolve().parents[2] / "pipelines"

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@dataclass
class Inner:
    rate: float
    names: list[str] = field(default_factory=list)


@dataclass
class Settings:
    inner: Inner
    extra: dict[str, int]


def test_stable_over_time_and_machines() -> None:
    canonical = '[{"a":1,"b":[true,null,"中"]},0.5]'
    assert fingerprint({"b": [True, None, "中"], "a": 1}, 0.5) == hashlib.sha256(canonical.encode()).hexdigest()


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_order_of_a_mapping_does_not_count(mapping: dict[str, object]) -> None:
    assert fingerprint(mapping) == fingerprint(dict(reversed(mapping.items())))


@given(plain, plain)
def test_different_values_differ(one: object, other: object) -> None:
    if repr(one) != repr(other) and one != other:
        assert fingerprint(one) != fingerprint(other)


def test_dataclasses_count_by_value() -> None:
    assert fingerprint(Settings(Inner(0.1), {"a": 1})) == fingerprint(Settings(Inner(0.1), {"a": 1}))
    changed = [Settings(Inner(0.2), {"a": 1}), Settings(Inner(0.1, ["x"]), {"a": 1}), Settings(Inner(0.1), {"a": 2})]
    assert len({fingerprint(settings) for settings in [Settings(Inner(0.1), {"a": 1}), *changed]}) == 4


def test_file_hash_is_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_versions_of_deciding_libraries_are_recorded() -> None:
    assert {"torch", "transformers", "onnxruntime", "numpy"} <= set(package_versions())


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the source that a test may edit."""
    shutil.copytree(PACKAGE, tmp_path / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def digests(package: Path, *modules: str) -> list[str]:
    code = "import sys; from pipelines.artifacts.fingerprint import code_fingerprint as f; print(*map(f, sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code, *modules]
    return subprocess.run(
        command, env=environment, cwd=package, check=True, capture_output=True, text=True
    ).stdout.split()


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        ("prepare.py", [True, False, False]),
        ("corpora/normalise.py", [True, True, False]),  # prepare → read → normalise
        ("settings/errors.py", [True, True, True]),
        ("publish.py", [False, False, False]),
        ("report/__init__.py", [False, False, False]),
    ],
)
def test_code_counts_only_where_it_is_imported(edited: str, expected: list[bool], package: Path) -> None:
    modules = ("prepare", "corpora.read", "taxonomy")
    before = digests(package, *modules)
    with (package / "pipelines" / edited).open("a", encoding="utf-8") as stream:
        stream.write("\n# one more line\n")
    after = digests(package, *modules)
    assert [one != other for one, other in zip(before, after, strict=True)] == expected
