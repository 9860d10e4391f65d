from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from tiny_corpora import OWN_ROWS, Setting, copy_configs, make_setting

settings.register_profile("unhurried", deadline=None)  # how long an example takes says nothing about what it tests
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def compose_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Setting]:
    configs = copy_configs(tmp_path_factory.mktemp("configs"))
    return cache(lambda *overrides: make_setting(configs, "corpora.verify=false", OWN_ROWS, *overrides))


@pytest.fixture
def configure(compose_once: Callable[..., Setting], tmp_path: Path) -> Callable[..., Setting]:
    """Compose the real `public` mixture for corpora below `tmp_path`, hashes unchecked, with more overrides."""
    return lambda *overrides: compose_once(*overrides).at(tmp_path)
