"""What is written in charts lies in their figures, however long the names are."""

import numpy as np
import pytest
import torch

from genlab.plots import charts, learning_curves
from genlab.plots.charts import confusion, reliability_diagram
from genlab.plots.learning_curves import Chart
from tests.helpers.figures import texts_inside

NAMES = {
    "short": ["a", "b", "c"],
    "long": ["dwarf", "giant", "white dwarf"],
    "very long": ["a dwarf of the main sequence", "a giant", "a white dwarf that has no hydrogen"],
    "many": [f"class of stars {k}" for k in range(20)],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=list(NAMES))
def test_all_text_of_a_confusion_matrix_lies_in_the_figure(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    counts = 90 * torch.eye(len(names), dtype=torch.int64) + 3
    with texts_inside(monkeypatch, charts):
        confusion(counts, "test split", names)
        confusion(counts, "test split")


@pytest.mark.parametrize("most", [1, 7, 80, 5000])
def test_a_reliability_diagram_has_plain_ticks_and_whole_error_bars(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    confidence, accuracy = torch.linspace(0.05, 1.0, 10), torch.tensor([0.0, 1.0] * 5)
    count = torch.tensor([1, most] * 5)
    with texts_inside(monkeypatch, charts) as figures:
        reliability_diagram(confidence, accuracy, count, 0.1, "test split")
    top, bottom = figures[0].axes
    ends = np.concatenate([bar.get_segments() for bar in top.containers[0][2]])[..., 1]
    assert ends.min() >= 0
    assert ends.max() <= 1
    written = [text.get_text() for text in bottom.get_yticklabels(which="both")]
    assert all(text.replace(",", "").isdigit() for text in written if text), written
    assert sum(bool(text) for text in written) >= 2 if most > 1 else True


@pytest.mark.parametrize("panels", [1, 2, 3, 5])
def test_captions_of_learning_curves_lie_in_the_figure(panels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"examples": 1000.0 * k, "train/a": 100000.0 / k, "train/loss": 1.0 / k} for k in range(1, 30)]
    text = "WWWW What wide words may mean: " + "a caption that goes on for many words and lines, " * 4
    charts_of = {f"chart {k}": Chart(["train/a", "train/loss"], text) for k in range(panels)}
    with texts_inside(monkeypatch, learning_curves):
        learning_curves.learning_curves(records, charts_of)
