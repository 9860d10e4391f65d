import pytest
from tiny_bundle import make_bundle

from pipelines.bundle.bundle import Bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """One exported bundle for all tests that time something."""
    return make_bundle(tmp_path_factory.mktemp("timed"))
