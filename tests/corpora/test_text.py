import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.forum import clean, posts
from pipelines.corpora.text import TextSource, check_source, distinct, stream
from pipelines.settings.errors import UserError

THREAD = """\ufeff
*****

####  楼主甲
##### 1#       楼主       发表于 2024-1-1 01:01

 本帖最后由 楼主甲 于 2024-1-1 02:02 编辑

今天的面条真不错
[https://example.org/a](https://example.org/a)

配图在此<img src="https://example.org/1.png" referrerpolicy="no-referrer">

﹍﹍﹍

评分

|昵称|战斗力|理由|
|----|---|---|
| 路人乙| + 1|好评欢乐|

*****

####  路人乙
##### 2#       发表于 2024-1-1 03:03

<blockquote><a href="x">楼主甲 发表于 2024-1-1 01:01</a>

今天的面条真不错</blockquote>
同意，@楼主甲 下次叫我，菜单见[这里](https://example.org/menu)

—— 来自 某手机 上的 [客户端](https://example.org) v1

*****

####  路人丙
##### 3#       发表于 2024-1-1 03:04

666

*****
"""


def test_a_thread_gives_what_its_authors_wrote(tmp_path: Path) -> None:
    (tmp_path / "thread.md").write_text(THREAD, encoding="utf-8")
    assert list(posts(tmp_path / "thread.md")) == ["今天的面条真不错 配图在此", "同意， 下次叫我，菜单见这里"]


@given(st.text())
def test_any_post_is_cleaned_onto_one_line_without_addresses(post: str) -> None:
    cleaned = clean(post + " https://example.org/x")
    assert "\n" not in cleaned
    assert "example.org" not in cleaned


def source(path: Path, form: str, files: str, column: str = "text") -> TextSource:
    return TextSource(form, str(path), files, column)


@pytest.mark.parametrize("form", ["text", "json", "csv", "parquet", "arrow", "forum"])
def test_every_format_gives_the_same_texts(form: str, tmp_path: Path) -> None:
    texts = ["甲的第一条", "乙的第二条", "丙的第三条"]
    rows = {"text": texts}
    if form == "text":
        (tmp_path / "a.text").write_text("\n".join(texts), encoding="utf-8")
    elif form == "json":
        (tmp_path / "a.json").write_text("\n".join(json.dumps({"text": t}) for t in texts), encoding="utf-8")
    elif form == "csv":
        (tmp_path / "a.csv").write_text("\n".join(["text", *texts]), encoding="utf-8")
    elif form == "parquet":
        pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    elif form == "arrow":
        Dataset.from_dict(rows).save_to_disk(str(tmp_path))
    else:
        (tmp_path / "a.forum").write_text("\n*****\n".join(texts), encoding="utf-8")
    assert list(stream("mine", source(tmp_path, form, f"*.{form}"))) == texts


def test_files_come_in_an_order_that_names_alone_decide(tmp_path: Path) -> None:
    for name in range(20):
        (tmp_path / f"{name:02}.txt").write_text(f"第{name:02}篇", encoding="utf-8")
    found = list(stream("mine", source(tmp_path, "text", "*.txt")))
    assert found == list(stream("mine", source(tmp_path, "text", "*.txt")))
    assert found != sorted(found)
    assert len(set(found)) == 20


def test_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sources\.mine: no file matches"):
        list(stream("mine", source(tmp_path, "text", "*.txt")))
    (tmp_path / "a.json").write_text('{"body": "文"}', encoding="utf-8")
    with pytest.raises(UserError, match="no column 'text', only body"):
        list(stream("mine", source(tmp_path, "json", "*.json")))
    with pytest.raises(UserError, match=r"sources\.mine\.format=jsn: no such format.*json"):
        check_source("mine", source(tmp_path, "jsn", "*"))


@given(st.lists(st.text(max_size=3), max_size=40))
def test_each_text_comes_once_in_the_order_of_its_first(texts: list[str]) -> None:
    assert list(distinct(texts)) == list(dict.fromkeys(texts))
