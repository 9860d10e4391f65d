from rich.console import Console

from pipelines.report.accuracy import accuracy_table, percent


def figure(value, low, high):
    return {"value": value, "low": low, "high": high, "n": 10}


def test_a_figure_is__its_interval_and_a_dash_where_undefined():
    assert percent(figure(0.8124, 0.799, 0.825)) == "81.2 (79.9–82.5)"
    assert percent(figure(0.8124, None, None)) == "81.2"
    assert percent(figure(None, None, None)) == "–"
    assert percent(None) == "–"


def test_every_candidate_of_every_corpus_has_a_line():
    nothing = figure(None, None, None)
    root = {"macro_f1": figure(0.5, 0.4, 0.6), "average_precision": nothing, "calibration_error": nothing}
    figures = {
        "corpora": {
            "news": {
                "rows": 12,
                "headline_label": "violation",
                "candidates": {"tiny": {"labels": {"violation": root}}},
                "official": {"candidates": {"tiny": {"macro_f1": root["macro_f1"]}, "only": {"macro_f1": nothing}}},
            },
            "silent": {"rows": 3, "headline_label": None, "candidates": {"tiny": {"labels": {}}}, "official": None},
        }
    }
    table = accuracy_table(figures)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    text = capture.get()
    assert table.row_count == 2 + 3
    assert "news: violation" in text
    assert text.count("50.0 ±10.0") == 2
    assert "only" in text
