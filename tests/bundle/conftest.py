import shutil
from pathlib import Path

import pytest
from tiny_bundle import make_bundle, make_checkpoint

from pipelines.bundle.bundle import Bundle
from pipelines.models import Checkpoint


@pytest.fixture(scope="session")
def shared_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """One exported bundle for all tests that only read it."""
    return make_bundle(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def own_bundle(shared_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy that a test may damage."""
    shutil.copytree(shared_bundle.path, tmp_path / "bundle")
    return Bundle.open(tmp_path / "bundle")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "checkpoint")
