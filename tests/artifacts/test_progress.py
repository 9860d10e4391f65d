"""Progress goes to stderr: stdout belongs to the verb's last line."""

import pytest

from pipelines.artifacts.progress import say, track


def test_items_pass_through_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(5), "counting")) == [0, 1, 2, 3, 4]
    assert list(track((n for n in "ab"), "letters")) == ["a", "b"]
    assert list(track([], "nothing")) == []
    assert capfd.readouterr().out == ""


def test_say_is_one_line_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    say("正在读取")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "正在读取\n")
