"""The manifest: sha256 and size of every file of a bundle, and where the bundle came from.

Needs the standard library alone, because the runtime that opens a bundle on a bare machine verifies it with this
module.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
# artifact.json is the workspace's own record of a finished step, written after the manifest; model.sig signs the
# manifest.
_UNLISTED = frozenset({MANIFEST, "model.sig", "artifact.json"})


class BundleError(ValueError):
    """A folder is not the bundle it claims to be; the message names the file and what is wrong with it."""


def write_manifest(folder: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """Write `manifest.json` over everything that stands in `folder` now, and return it.

    Args:
        folder: the bundle; every file in it is listed with its path relative to it, in sorted order.
        header: what the bundle is: name, version, taxonomy, licences, checkpoint. Plain JSON values.
    """
    manifest = {**header, "files": {name: _describe(folder / name) for name in _files(folder)}}
    text = json.dumps(manifest, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the bundle at `folder`; raise BundleError when there is none or it can't be read."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file; this folder is not a bundle.") from None
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON ({error}).") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise BundleError(f"{path}: it has no list of files.")
    return manifest


def verify(folder: Path) -> dict[str, Any]:
    """Compare every file of the bundle with its manifest and return the manifest.

    Raises:
        BundleError: naming each file that differs, is missing or is not listed.
    """
    manifest = read_manifest(folder)
    present = _files(folder)
    problems = [f"{name}: missing" for name in manifest["files"] if name not in present]
    for name in present:
        if name not in manifest["files"]:
            problems.append(f"{name}: not listed in {MANIFEST}")
        elif _describe(folder / name) != manifest["files"][name]:
            problems.append(f"{name}: differs from {MANIFEST} (sha256 or size)")
    if problems:
        raise BundleError(f"{folder}: the bundle is not as it was published. {'; '.join(problems)}.")
    return manifest


def _files(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in _UNLISTED)


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": path.stat().st_size}
