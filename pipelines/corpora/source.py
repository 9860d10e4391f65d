"""Where a corpus file is: a local root laid out like clones, or a download at the pinned commit; hash-checked."""

import hashlib
import socket
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch.hub

from pipelines.artifacts.fingerprint import file_sha256
from pipelines.artifacts.progress import say
from pipelines.corpora.schema import CorpusConfig
from pipelines.settings.errors import UserError

_SECONDS_OF_SILENCE = 60.0  # a server that stalls must not hold a release for ever
_REPOSITORY_ROOT = Path(__file__).resolve().parents[2]


@dataclass
class CorporaConfig:
    """Where corpora are found and how much may be wrong with them.

    Attributes:
        root: folder with one sub-folder per corpus, laid out like clones; null downloads at the pinned commit.
        cache: where downloads are kept.
        url: template with {repository}, {commit} and {path}.
        verify: whether a file whose sha256 differs from the pinned one is refused.
        max_bad_share: share of a corpus's rows that may be rejected before preparation stops.
        max_characters: longer texts are rejected.
    """

    root: str | None
    cache: str
    url: str
    verify: bool
    max_bad_share: float
    max_characters: int


def locate(corpus: CorpusConfig, path: str, sha256: str, config: CorporaConfig) -> Path:
    """Return the local path of one corpus file.

    Raises:
        UserError: the file is absent, can't be downloaded, or is not the pinned one.
    """
    if corpus.repository is None:
        found = _REPOSITORY_ROOT / corpus.folder / path
    elif config.root is not None:
        found = Path(config.root) / corpus.folder / path
    else:
        found = _download(corpus, path, sha256 if config.verify else "", config)
    if not found.is_file():
        raise UserError(_absent(corpus, found, config))
    if config.verify and sha256 and file_sha256(found) != sha256:
        raise UserError(
            f"{found}: its sha256 is not the pinned {sha256[:12]}…. Check out {corpus.repository or 'this repository'} "
            f"at {corpus.commit or 'its commit'}, or pass corpora.verify=false to read it as it is."
        )
    return found


def _download(corpus: CorpusConfig, path: str, sha256: str, config: CorporaConfig) -> Path:
    """Return the cached file, downloaded now if it is not there; what has another hash than `sha256` is not kept."""
    target = Path(config.cache) / corpus.folder / (corpus.commit or "") / path
    if target.is_file():
        return target
    try:
        url = config.url.format(repository=corpus.repository, commit=corpus.commit, path=path)
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"corpora.url={config.url}: {error} can't be filled in; use {{repository}}, {{commit}} and {{path}}."
        ) from None
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"downloading {url}")
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_OF_SILENCE)
    try:
        torch.hub.download_url_to_file(url, str(target), hash_prefix=sha256 or None, progress=True)
    except (OSError, HTTPException, ValueError, RuntimeError) as error:  # RuntimeError: another hash
        raise UserError(
            f"{url}: could not be downloaded ({error}). Without a network, clone {corpus.repository} at "
            f"{corpus.commit} into FOLDER/{corpus.folder} and pass corpora.root=FOLDER."
        ) from None
    finally:
        socket.setdefaulttimeout(patience)
    return target


def _absent(corpus: CorpusConfig, found: Path, config: CorporaConfig) -> str:
    if corpus.repository is None:
        return f"{found}: missing from this repository."
    return (
        f"{found}: no such file. corpora.root={config.root} must hold a clone of {corpus.repository} (commit "
        f"{corpus.commit}) named {corpus.folder}; or leave corpora.root out to download it."
    )


def text_id(*parts: str) -> str:
    """Return a short stable id (first 16 hex digits of sha256) for a row."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
