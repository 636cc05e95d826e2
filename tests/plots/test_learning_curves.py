"""Learning curves: what a panel shows, and what it leaves out."""

import numpy as np
import pytest

from genlab.plots import learning_curves as drawing
from genlab.plots.learning_curves import Chart, CurvePanel, learning_curves, words
from genlab.report.sweep_curves import Job, sweep_curves


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[CurvePanel]:
    """The panels that are drawn last."""
    seen: list[CurvePanel] = []

    def draw(found: list[CurvePanel]) -> np.ndarray:
        seen[:] = found
        return np.zeros((2, 2, 3), dtype=np.uint8)

    monkeypatch.setattr(drawing, "draw_panels", draw)
    monkeypatch.setattr("genlab.report.sweep_curves.draw_panels", draw)
    return seen


def records(level: float = 1.0) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    for k in range(1, 11):
        found.append(
            {
                "examples": 100 * k,
                "seconds": 0.5 * k,
                "train/loss": level / k,
                "train/d": 0.5 + 0.1 / k,
                "train/half": 0.5,
            }
        )
        if k % 5 == 0:
            found[-1] |= {"eval/loss": 1.2 * level / k, "eval/d": 0.6}
    return found


def test_a_run_shows_its_loss_and_the_charts_of_its_family(panels: list[CurvePanel]) -> None:
    charts = {"D": Chart(["train/d", "eval/d", "train/half", "train/absent"], "says", {"1/2": 0.5})}
    assert learning_curves(records(), charts) is not None
    loss, d = panels
    assert [curve.label for curve in loss.curves] == ["loss, training", "loss, validation"]
    np.testing.assert_array_equal(loss.curves[1].x, [500, 1000])
    np.testing.assert_allclose(loss.curves[1].y, [0.24, 0.12])
    assert [curve.label for curve in d.curves] == ["d, training", "d, validation"]  # what is a line already is no curve
    assert (d.title, d.caption, d.lines) == ("D", "says", {"1/2": 0.5})


def test_a_monitor_of_the_same_examples_is_told_from_the_mean_over_a_training() -> None:
    assert words("train/wasserstein") == "wasserstein, training"
    assert words("monitor/wasserstein_train") == "wasserstein, fixed training examples"
    assert words("monitor/d_held_out") == "d, held-out examples"


def test_training_and_held_out_examples_of_a_monitor_share_a_panel(panels: list[CurvePanel]) -> None:
    charts = {"D": Chart(["monitor/d_train", "monitor/d_held_out"], "says")}
    seen = [{**record, "monitor/d_train": record["train/d"], "monitor/d_held_out": 0.3} for record in records()]
    assert sweep_curves([Job("a", seen, charts), Job("b", seen, charts)]) is not None
    (d,) = [panel for panel in panels if panel.title == "d"]
    assert [(curve.label, curve.faint) for curve in d.curves] == [("a", True), ("a", False), ("b", True), ("b", False)]


def test_there_is_no_picture_of_nothing() -> None:
    assert learning_curves([], {"D": Chart(["train/d"], "says")}) is None
    assert learning_curves(records()[:1], {"D": Chart(["train/d"], "says")}) is None
    assert sweep_curves([Job("a", records(), {})]) is None


def test_a_sweep_has_a_panel_for_each_term_with_a_curve_for_each_job(panels: list[CurvePanel]) -> None:
    charts = {"D": Chart(["train/d", "eval/d"], "says", {"1/2": 0.5})}
    jobs = [Job("a", records(), charts), Job("b", records(3.0), charts), Job("failed", [], charts)]
    assert sweep_curves(jobs) is not None
    assert [panel.title for panel in panels] == ["loss", "loss", "d"]
    by_examples, by_seconds, _ = panels
    assert (by_examples.axis, by_seconds.axis) == ("examples seen", "seconds of training")
    in_full = [curve for curve in by_examples.curves if not curve.faint]
    assert [curve.label for curve in in_full] == ["a", "b"]
    np.testing.assert_allclose(in_full[1].y, [0.72, 0.36])  # validation
    assert len({curve.colour for curve in by_examples.curves}) == 2


def test_a_panel_is_drawn_with_its_caption_and_all_its_curves() -> None:
    charts = {"D": Chart(["train/d", "eval/d"], "says what is seen", {"1/2": 0.5}, logarithmic=True)}
    one = learning_curves(records(), charts)
    more = learning_curves(records(), {**charts, "again": charts["D"], "and again": charts["D"]})
    assert one is not None
    assert more is not None
    assert one.shape[0] < more.shape[0]  # a second row
    assert one.std() > 5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("eval/kl", "kl, validation"),
        ("train/d_real", "d real, training"),
        ("monitor/d_held_out", "d, held-out examples"),
        ("optimizer/generator/gradient_norm", "generator"),
    ],
)
def test_names_are_in_words(name: str, said: str) -> None:
    assert words(name) == said
