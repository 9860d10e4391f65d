"""A folder is a whole artifact or none: killed drafts stay apart and are resumed from."""

import json
from pathlib import Path
from typing import ClassVar

import pytest

from pipelines.artifacts.folder import Artifact, Slot, read_json, write_json
from pipelines.settings.errors import UserError


class Cake(Artifact):
    kind: ClassVar[str] = "cake"


class Bread(Artifact):
    kind: ClassVar[str] = "bread"


def bake(slot: Slot, content: str = "sweet") -> Cake:
    with slot.fill(Cake) as draft:
        (draft.folder / "dough").write_text(content, encoding="utf-8")
        draft.metrics["layers"] = 3
    return Cake.open(slot.path)


def kill(slot: Slot, file: str) -> Path:
    """Start filling, write one file, die; return the draft's folder."""
    attempt = slot.fill(Cake)
    folder = attempt.__enter__().folder
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("half", encoding="utf-8")
    assert not attempt.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    return folder


def test_finished_artifact_says_what_it_is(tmp_path: Path) -> None:
    slot = Slot(tmp_path / "cake" / "abc", "f" * 64, {"flour": "e" * 64})
    assert not slot.finished
    cake = bake(slot)
    assert slot.finished
    assert (cake.path, cake.fingerprint, cake.inputs) == (slot.path, "f" * 64, {"flour": "e" * 64})
    assert cake.metrics == {"layers": 3}
    assert (cake.path / "dough").read_text(encoding="utf-8") == "sweet"
    assert [path.name for path in slot.path.parent.iterdir()] == ["abc"]


def test_killed_draft_is_no_artifact_and_the_next_attempt_finds_it(tmp_path: Path) -> None:
    slot = Slot(tmp_path / "cake", "f")
    left = kill(slot, "checkpoint-7")
    assert not slot.finished
    with pytest.raises(UserError, match="no finished cake"):
        Cake.open(slot.path)
    with pytest.raises(UserError, match="no finished cake"):
        Cake.open(left)
    with slot.fill(Cake) as draft:
        assert (draft.folder / "checkpoint-7").read_text(encoding="utf-8") == "half"
    assert slot.finished


def test_scratch_is_dropped_at_the_end_but_kept_for_resuming(tmp_path: Path) -> None:
    slot = Slot(tmp_path / "cake", "f")
    kill(slot, "scratch/state")
    with slot.fill(Cake) as draft:
        assert (draft.folder / "scratch" / "state").is_file()
    assert not (slot.path / "scratch").exists()


def test_filling_again_replaces_the_whole_folder(tmp_path: Path) -> None:
    slot = Slot(tmp_path / "cake", "f")
    bake(slot, "old")
    (slot.path / "left over").write_text("", encoding="utf-8")
    bake(slot, "new")
    assert (slot.path / "dough").read_text(encoding="utf-8") == "new"
    assert not (slot.path / "left over").exists()


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = bake(Slot(tmp_path / "one", "f")), bake(Slot(tmp_path / "other", "f"))
    assert (one.path / "artifact.json").read_bytes() == (other.path / "artifact.json").read_bytes()


def test_another_kind_is_refused(tmp_path: Path) -> None:
    bake(Slot(tmp_path / "cake", "f"))
    with pytest.raises(UserError, match="this is a cake, but a bread is needed here"):
        Bread.open(tmp_path / "cake")


@pytest.mark.parametrize("content", ["{", "\ufeff{}", ""])
def test_broken_json_names_the_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "artifact.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"artifact\.json: not valid JSON"):
        Cake.open(tmp_path)


def test_absent_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.json: no such file"):
        read_json(tmp_path / "nothing.json")


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json(path, {"中文": 1.5})
    assert "中文" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"value": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"中文": 1.5}
    assert list(tmp_path.iterdir()) == [path]
