"""Where corpus files come from: a root, or a download; every way it can fail says what to do."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_corpora import PANDA, Setting, write_panda

from pipelines.corpora.source import locate
from pipelines.settings.errors import UserError

Configure = Callable[..., Setting]
COMMIT = "6e39877016a8e6fe5ab30c9d1eadee6f9ff105d9"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder on 127.0.0.1: `(folder, URL template for corpora.url)`."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/{{repository}}/{{commit}}/{{path}}"
        server.shutdown()


def published(folder: Path) -> tuple[Path, str]:
    """Write a PANDA file where the served repository has it at the pinned commit; return it and its sha256."""
    write_panda(folder, [("第一句", 0, "回复")])
    path = folder / "michaelbennieUFL" / "PANDA" / COMMIT / "panda_dataset.tsv"
    path.parent.mkdir(parents=True)
    (folder / PANDA).rename(path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def downloading(setting: Setting, url: str, cache: Path, verify: bool = True) -> Setting:
    corpora = replace(setting.config.corpora, root=None, url=url, cache=str(cache), verify=verify)
    return Setting(replace(setting.config, corpora=corpora), setting.taxonomy)


def find(setting: Setting, sha256: str) -> Path:
    return locate(setting.config.corpus["panda"], "panda_dataset.tsv", sha256, setting.config.corpora)


def test_download_at_the_pinned_commit_is_checked_and_kept(
    served: tuple[Path, str], tmp_path: Path, configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, url = served
    source, sha256 = published(folder)
    setting = downloading(configure(), url, tmp_path / "cache")

    found = find(setting, sha256)

    assert found.read_bytes() == source.read_bytes()
    assert COMMIT in found.parts
    source.unlink()
    assert find(setting, sha256) == found  # the second time needs no network
    out, err = capfd.readouterr()
    assert out == ""
    assert "downloading http://127.0.0.1" in err


def test_rows_come_from_the_download(served: tuple[Path, str], tmp_path: Path, configure: Configure) -> None:
    folder, url = served
    published(folder)
    rows, rejected = downloading(configure(), url, tmp_path / "cache", verify=False).read("panda")
    assert ([row["text"] for row in rows], rejected) == (["第一句"], [])


def test_download_with_another_hash_is_refused_and_not_kept(
    served: tuple[Path, str], tmp_path: Path, configure: Configure
) -> None:
    folder, url = served
    _, sha256 = published(folder)
    setting = downloading(configure(), url, tmp_path / "cache")
    with pytest.raises(UserError, match=r"panda_dataset\.tsv: could not be downloaded \(invalid hash"):
        find(setting, "0" * 64)
    assert find(setting, sha256).is_file()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/{repository}/{commit}/{path}", "nonsense/{path}"])
def test_failed_download_names_address_reason_and_remedy(url: str, tmp_path: Path, configure: Configure) -> None:
    setting = downloading(configure(), url, tmp_path / "cache")
    with pytest.raises(UserError) as caught:
        find(setting, "0" * 64)
    message = str(caught.value)
    assert url.split("{")[0] in message
    assert f"clone michaelbennieUFL/PANDA at {COMMIT} into FOLDER/PANDA and pass corpora.root=FOLDER" in message


def test_missing_page_names_the_status(served: tuple[Path, str], tmp_path: Path, configure: Configure) -> None:
    with pytest.raises(UserError, match="404"):
        find(downloading(configure(), served[1], tmp_path / "cache"), "0" * 64)


def test_url_with_an_unknown_placeholder(tmp_path: Path, configure: Configure) -> None:
    with pytest.raises(UserError, match=r"corpora\.url=.*branch.*use \{repository\}, \{commit\} and \{path\}"):
        find(downloading(configure(), "http://127.0.0.1:1/{branch}/{path}", tmp_path / "cache"), "0" * 64)


def test_missing_file_names_the_clone_that_is_needed(tmp_path: Path, configure: Configure) -> None:
    with pytest.raises(UserError) as caught:
        find(configure(), "0" * 64)
    message = str(caught.value)
    assert str(tmp_path / PANDA) in message
    assert f"clone of michaelbennieUFL/PANDA (commit {COMMIT}) named PANDA" in message
    assert "leave corpora.root out to download it" in message


def test_other_bytes_than_the_pinned_ones(tmp_path: Path, configure: Configure) -> None:
    write_panda(tmp_path, [("第一句", 0, "回复")])
    setting = configure()
    strict = Setting(replace(setting.config, corpora=replace(setting.config.corpora, verify=True)), setting.taxonomy)
    with pytest.raises(UserError) as caught:
        strict.read("panda")
    message = str(caught.value)
    assert str(tmp_path / PANDA) in message
    assert "sha256 is not the pinned 587c752c73ee" in message
    assert f"michaelbennieUFL/PANDA at {COMMIT}" in message
    assert "corpora.verify=false" in message
    assert len(setting.read("panda")[0]) == 1


def test_missing_authored_rows_are_the_repositorys_own_fault(tmp_path: Path, configure: Configure) -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl: missing from this repository"):
        configure().read("authored")
