"""Posts of a forum archive kept as Markdown, one file per thread: the layout of the S1PlainTextArchive repositories.

Unlabelled text for pre-training and distillation. What other people wrote or software added (quotes, user names, links,
ratings, "sent from" lines) is left out; see data_cards/s1.md for what may be done with the text.
"""

import re
from collections.abc import Iterator
from pathlib import Path

_POST = re.compile(r"^\*{5}[ \t]*$", re.MULTILINE)
_HEADER = re.compile(r"^#{4,5} .*$", re.MULTILINE)
_QUOTE = re.compile(r"<blockquote>.*?(?:</blockquote>|\Z)", re.DOTALL)
_RATINGS = re.compile(r"^﹍﹍﹍.*", re.MULTILINE | re.DOTALL)
_EDITED = re.compile(r"^\s*本帖最后由 .{0,60} 编辑\s*$", re.MULTILINE)
_SENT_FROM = re.compile(r"^\s*(?:[—\-]{2,}\s*(?:来自|发送自)|\[论坛助手).*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ADDRESS = re.compile(r"(?:https?|ftp)\S+|www\.\S+|pan\.baidu\S+")
_MARKUP = re.compile(r"<[^<>]{1,400}>|&(?:nbsp|amp|lt|gt|quot);")
_NAMED = re.compile(r"@[^\s@,，:：。]{1,20}")
_BLANK = re.compile(r"[ \t\u3000]*\n\s*|[ \t\u3000]{2,}")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def posts(path: Path) -> Iterator[str]:
    """Yield the posts of one thread file, cleaned, in order, without those of fewer than two Chinese characters."""
    for post in _POST.split(path.read_text(encoding="utf-8", errors="replace")):
        text = clean(post)
        if len(_CHINESE.findall(text[:200])) >= 2:
            yield text


def clean(post: str) -> str:
    """Return what the author of one Markdown post wrote, on one line."""
    for pattern in (_RATINGS, _QUOTE, _HEADER, _EDITED, _SENT_FROM):
        post = pattern.sub("", post)
    post = _LINK.sub(lambda link: "" if "://" in link[1] else link[1], post)
    for pattern in (_MARKUP, _ADDRESS, _NAMED):
        post = pattern.sub(" ", post)
    return _BLANK.sub(" ", post).strip("\ufeff \n\t*")
