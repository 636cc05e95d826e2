"""genlab compare: seeds aggregated exactly, and nothing ranked that does not compare."""

import io
import json
import math
import statistics
from typing import Any

import pytest
from rich.console import Console

from genlab.metrics.rounding import latex, plain, rounded
from genlab.report.curves import make_panels
from genlab.report.documents import markdown, tex
from genlab.report.measures import BEST, BY_CLASS, COST, LIKELIHOOD, OTHER, QUALITY, TRAINING, Measure
from genlab.report.page import settings_table
from genlab.report.rows import aggregate
from genlab.report.tables import make_tables, overview, why_apart
from genlab.report.terminal import show
from tests.helpers.compared_runs import GREY, compare, make_run, marks, rows_of, table_of, value

# Numbers


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        (-22.6184, 0.2131, "-22.62 ± 0.21"),
        (12345.6, 561.0, "12,350 ± 560"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (99.96, 9.96, "100 ± 10"),
        (0.0001, 0.0004, "0.00010 ± 0.00040"),
        (1.2e-6, 2e-7, "(1.20 ± 0.20)e-06"),
        (345696.0, None, "345,696"),
        (1.23456789, None, "1.235"),
        (5.79, None, "5.79"),
        (10.0, 0.0, "10 ± 0"),
        (-0.001, 0.5, "0.00 ± 0.50"),
        (1.0, math.nan, "1"),
        (math.nan, 1.0, "—"),
        (None, None, "—"),
    ],
)
def test_a_number_is_rounded_to_its_error(number: float | None, error: float | None, text: str) -> None:
    assert plain(rounded(number, error)) == text


def test_numbers_in_latex() -> None:
    assert latex(rounded(12345.6, 561.0)) == r"$12{,}350 \pm 560$"
    assert latex(rounded(1.2e-6, 2e-7)) == r"$(1.20 \pm 0.20) \times 10^{-6}$"
    assert latex(rounded(1.0, 0.1), "best") == r"$\boldsymbol{1.00 \pm 0.10}$"
    assert latex(None) == "--"


# Rows


def test_seeds_of_one_configuration_are_one_row_with_mean_and_spread() -> None:
    fids = [30.25, 31.5, 29.125]
    for seed, fid in enumerate(fids):
        make_run(f"sweep/{seed}", seed, measures={"fid": value(fid, 0.5, better="lower")}, beta=4)
    make_run("sweep/3", 0, measures={"fid": value(50.0, 0.5, better="lower")}, beta=1)
    rows = rows_of("sweep")
    assert [(row.label, row.seeds) for row in rows.rows] == [("beta=4", "0, 1, 2"), ("beta=1", "0")]
    assert rows.differences == ["model.beta"]
    (table,) = table_of(QUALITY, rows)
    several, single = (line.cells[0] for line in table.lines)
    assert several is not None
    assert single is not None
    assert several.value == statistics.fmean(fids)
    assert several.error == statistics.stdev(fids)
    assert (several.seeds, single.seeds) == (3, 1)
    assert (single.value, single.error) == (50.0, 0.5)


def test_the_error_that_ranks_is_never_below_that_of_one_evaluation() -> None:
    cell = aggregate([Measure(1.0, 0.3), Measure(1.0, 0.4), Measure(1.02, 0.5)])
    assert cell is not None
    assert cell.stderr == pytest.approx(math.sqrt((0.09 + 0.16 + 0.25) / 3))


def test_a_label_tells_apart_what_differs_and_no_more() -> None:
    make_run("a", model="ae", noise=0.0)
    make_run("b", beta=1.0)
    make_run("c", beta=4.0)
    rows = rows_of("a", "b", "c")
    assert [row.label for row in rows.rows] == ["ae", "vae, beta=1", "vae, beta=4"]
    assert rows.differences == ["model", "model.beta"]


def test_a_label_is_never_cut_off_where_it_differs() -> None:
    start = "outputs/train/vae-mnist/2026-11-22_17-06-3"
    keys: dict[str, Any] = {
        "hidden": [512, 256, 128, 64, 32],
        "activation": "relu",
        "network": "mlp",
        "kl_warmup": 0.25,
    }
    for k in range(3):
        make_run(f"r{k}", **keys, start=f"{start}{k}_hidden-512-256-128", dropout=None if k else 0.1)
    assert [row.label for row in rows_of("r*").rows] == [f"start=…{k}…" for k in range(3)]


def test_a_name_that_a_run_was_given_is_its_label(capsys: pytest.CaptureFixture[str]) -> None:
    for k, name in enumerate(["wide", "wide", None]):
        run = make_run(f"r{k}", seed=k, beta=4)
        (run / "run.json").write_text(json.dumps(json.loads((run / "run.json").read_text()) | {"name": name}))
    assert [(row.label, row.seeds) for row in rows_of("r*").rows] == [("wide", "0, 1"), ("vae", "2")]
    rows = rows_of("narrow=r0", "r1", "deep net=r2")
    assert [row.label for row in rows.rows] == ["narrow", "wide", "deep net"]
    make_run("sweep/0", beta=1)
    make_run("sweep/1", beta=2)
    assert [row.label for row in rows_of("ours=sweep", "r2").rows] == ["ours, beta=1", "ours, beta=2", "vae"]
    assert "narrow" in compare(capsys, "narrow=r0", "r1").out


def test_repetitions_and_unfinished_seeds_are_left_out_and_named() -> None:
    for name, seed, state in (("a", 0, "finished"), ("b", 0, "finished"), ("c", 1, "interrupted")):
        make_run(name, seed, state=state)
    rows = rows_of("a", "b", "c")
    assert [[str(run.path) for run in row.runs] for row in rows.rows] == [["b"]]
    assert len(rows.notices) == 2
    assert all(name in " ".join(rows.notices) for name in ("a is left out", "c (interrupted)"))


# What is ranked


def test_the_best_is_marked_and_what_cannot_be_told_from_it() -> None:
    for k, (fid, error) in enumerate([(30.0, 1.0), (33.9, 1.0), (34.1, 1.0), (20.0, None)]):
        make_run(f"r{k}", beta=k, measures={"fid": value(fid, error, better="lower")})
    (table,) = table_of(QUALITY, rows_of("r*"))
    assert marks(table) == [["best"], ["tie"], [""], [""]]  # the last has no error, so that nobody knows


def test_kinds_of_likelihood_are_never_ranked_against_each_other() -> None:
    for k, kind in enumerate(("exact", "lower bound", "estimate")):
        make_run(f"r{k}", beta=k, measures={"log_likelihood": value(-90.0 - 10 * k, 0.1, kind, unit="nats")})
    (table,) = table_of(LIKELIHOOD, rows_of("r*"))
    assert [column.kind for column in table.columns] == ["exact", "lower bound", "estimate"]
    assert all(mark == "" for line in marks(table) for mark in line)
    assert [[cell is not None for cell in line.cells] for line in table.lines] == [
        [i == j for j in range(3)] for i in range(3)
    ]


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"representation": GREY}, "representation"),
        ({"n": 50}, "number of samples"),
        ({"features": {"name": "cnn", "hash": "other"}}, "feature network"),
        ({"split": "validation"}, "split"),
    ],
)
def test_what_was_judged_otherwise_stands_in_another_table(facts: dict[str, Any], word: str) -> None:
    measures = {"fid": value(30.0, 1.0, better="lower")}
    make_run("a", beta=1, measures=measures)
    make_run("b", beta=2, measures=measures, facts=facts)
    rows = rows_of("a", "b")
    tables = table_of(QUALITY, rows)
    assert len(tables) == 2
    assert word in why_apart(tables)
    assert all(mark == "" for table in tables for line in marks(table) for mark in line)
    (first,) = overview(rows.rows)
    assert all(mark == "" for line in marks(first) for mark in line)
    assert word in first.remarks[0]


def test_samples_judged_against_stored_data_compare_and_the_representation_is_shown() -> None:
    measures = {"fid": value(30.0, 0.1, better="lower"), "log_likelihood_elbo": value(-90.0, 0.1, "lower bound")}
    make_run("a", measures=measures, facts={"reference_examples": 359})
    make_run("b", measures=measures, binarize="none", facts={"reference_examples": 359, "representation": GREY})
    rows = rows_of("a", "b")
    (quality,) = table_of(QUALITY, rows)
    assert marks(quality) == [["best"], ["tie"]]
    assert [line.representation for line in quality.lines] == [
        "binarised dynamically",
        "not binarised, not dequantised",
    ]
    assert quality.remarks
    assert len(table_of(LIKELIHOOD, rows)) == 2
    (first,) = overview(rows.rows)
    assert [column.name for column in first.columns[:2]] == [BEST, "fid"]
    assert [line[:2] for line in marks(first)] == [["", "best"], ["", "tie"]]
    assert "log-likelihood" in first.remarks[0]


def log_likelihoods(**values: tuple[float, str]) -> dict[str, Any]:
    return {
        f"log_likelihood_{name}": value(number, 0.1, kind, unit="nats", better="higher", group="likelihood")
        for name, (number, kind) in values.items()
    }


def test_one_column_has_the_best_likelihood_of_each_row_with_its_kind() -> None:
    make_run("r0", beta=0, measures=log_likelihoods(elbo=(-90.0, "lower bound"), iw_100=(-85.0, "lower bound")))
    make_run("r1", beta=1, measures=log_likelihoods(ais=(-80.0, "estimate"), reverse_ais=(-70.0, "estimate")))
    make_run("r2", beta=2, measures=log_likelihoods(bound=(-95.0, "lower bound"), flow=(-97.0, "lower bound")))
    make_run("r3", beta=3, measures=log_likelihoods(exact=(-99.0, "exact"), elbo=(-10.0, "lower bound")))
    rows = rows_of("r*")
    (table,) = overview(rows.rows)
    assert [column.name for column in table.columns] == [BEST, "training_seconds"]
    assert [(cell.value, cell.note) for line in table.lines if (cell := line.cells[0])] == [
        (-85.0, "IW bound, k = 100"),
        (-80.0, "AIS estimate"),
        (-95.0, "lower bound"),
        (-99.0, "exact"),
    ]
    assert all(line.marks == ["", ""] for line in table.lines), "kinds are never ranked against each other"
    assert "-80.00 ± 0.10 (AIS estimate)" in markdown([table], "title")
    assert "(IW bound, k = 100)" in tex([table], "title")
    (alike,) = overview(rows_of("r0", "r0").rows + [row for row in rows.rows if row.label == "beta=0"])
    assert [line.marks[0] for line in alike.lines] == ["best", "tie"], "the same bound of two rows is ranked"
    make_run("grey", beta=4, measures=log_likelihoods(bound=(-95.0, "lower bound"), flow=(-91.0, "lower bound")))
    (table,) = overview(rows_of("grey").rows)
    cell = table.lines[0].cells[0]
    assert cell is not None
    assert cell.note == "flow lower bound"


def test_terms_of_a_part_of_the_test_split_say_so() -> None:
    """A short training measures fewer test examples; its values stand apart from those of all."""
    for k, examples in enumerate([100, 100, 359]):
        note = make_run(f"r{k}", beta=k) / "run.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {"test_examples": examples}))
    tables = table_of(TRAINING, rows_of("r*"))
    assert [(len(table.lines), "100 examples" in table.caption) for table in tables] == [(2, True), (1, False)]
    assert "number of test examples" in why_apart(tables)
    (costs,) = table_of(COST, rows_of("r*"))
    assert "training_examples" in [column.name for column in costs.columns], "though no run is evaluated"


def test_what_few_rows_have_stands_in_a_table_of_these_rows() -> None:
    common = {"fid": value(30.0, 1.0, better="lower")}
    for k in range(6):
        make_run(f"r{k}", beta=k, measures=common)
    labels = {f"accuracy_class_{k}": value(0.9, 0.01, group="classification", better="higher") for k in range(3)}
    make_run("r6", model="classifier", measures={"accuracy": value(0.9, 0.01, group="classification"), **labels})
    make_run("r7", model="gan", measures=common | {"d_real": value(0.7, 0.1), "d_fake": value(0.3, 0.1)})
    make_run("r8", model="wgan", measures=common | {"wasserstein": value(2.0, 0.1)})
    rows = rows_of("r*")
    first, second = overview(rows.rows)
    assert [column.name for column in first.columns] == ["fid", "training_seconds"]
    assert len(first.lines) == 8
    assert [[line.label for line in second.lines], [c.name for c in second.columns]] == [
        ["classifier"],
        ["accuracy", "training_seconds"],
    ]
    assert [[line.label for line in table.lines] for table in table_of(OTHER, rows)] == [["gan"], ["wgan"]]
    assert [len(table.columns) for table in table_of(BY_CLASS, rows)] == [3]
    for table in make_tables(rows.rows):
        for j in range(len(table.columns)):
            assert 2 * sum(line.cells[j] is not None for line in table.lines) >= len(table.lines), table.group


def test_the_table_of_configurations_leaves_out_what_is_null_or_equal() -> None:
    make_run("a", model="ae", noise=None, hidden=[64])
    make_run("b", beta=1.0, hidden=[64])
    make_run("c", beta=4.0, hidden=[64], k=5)
    rows = rows_of("a", "b", "c")
    table = settings_table(rows.rows, rows.differences)
    assert table.keys == ["model", "model.beta"]
    assert [(values, more) for _, values, more in table.lines] == [
        (["ae", "—"], ""),
        (["vae", "1"], ""),
        (["vae", "4"], "k=5"),
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_terminal_shows_all_measures_and_whole_labels_at_any_width(width: int) -> None:
    for k in range(14):
        binarize = "dynamic" if k % 2 else "none"
        measures = {name: value(30.0 + k, 1.0) for name in ("fid", "coverage", "reconstruction_mse")}
        if k % 3 == 0:
            measures |= log_likelihoods(iw_100=(-85.0, "lower bound"))
        make_run(f"r{k:02d}", model=f"m{k}", binarize=binarize, measures=measures, facts={"reference_examples": 359})
    text = io.StringIO()
    rows = rows_of("r*").rows
    show(overview(rows), "title", Console(file=text, width=width))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text.getvalue()
    for row in rows:
        assert any(line.startswith(f"{row.label} ") for line in lines)
    for name in ("FID", "coverage", "squared error", "training"):
        assert any(name in line for line in lines)


def test_costs_and_losses_are_never_ranked() -> None:
    make_run("a", beta=1)
    make_run("b", seed=5, beta=2)
    assert all(mark == "" for t in make_tables(rows_of("a", "b").rows) for line in marks(t) for mark in line)


def test_floor_and_baseline_stand_below_the_rows() -> None:
    real, baseline = {"value": 1.5, "stderr": 0.1}, {"value": 800.0, "stderr": 3.0}
    make_run("a", measures={"fid": value(30.0, 0.1, real=real, baseline=baseline)})
    (table,) = table_of(QUALITY, rows_of("a"))
    assert [(r.label.partition(" (")[0], r.cells[0].value if r.cells[0] else None) for r in table.references] == [
        ("real against real", 1.5),
        ("independent components", 800.0),
    ]


def test_observables_come_first_with_their_deviations_above_what_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {
        "energy": value(
            -1.45, 0.003, group="observables", exact=-1.4918, deviation=13.9, real={"value": -1.49, "stderr": 0.002}
        ),
        "magnetisation": value(0.77, 0.002, group="observables", exact=None, deviation=-3.5),
        "fid": value(0.4, 0.1, real={"value": 0.1, "stderr": 0.02}),
    }
    make_run("a", measures=measured)
    table, *_ = overview(rows_of("a").rows)
    names = [column.name for column in table.columns]
    assert names[:4] == ["energy", "deviation_energy", "magnetisation", "deviation_magnetisation"]
    assert [cell.value for cell in table.lines[0].cells[:4] if cell] == [-1.45, 13.9, 0.77, -3.5]
    exact, real, *_ = table.references
    assert exact.label == "exact"
    assert [cell.value if cell else None for cell in exact.cells[:4]] == [-1.4918, None, None, None]
    assert real.cells[0] is not None
    assert all(mark == "" for mark in table.lines[0].marks[:4])
    assert "energy, deviation" in compare(capsys, "a").out


def test_losses_of_two_families_have_two_panels() -> None:
    make_run("a", model="ae")
    make_run("b", 0)
    make_run("c", 1)
    panels = make_panels(rows_of("a", "b", "c").rows)
    assert [[series.row.label for series in panel.series] for panel in panels] == [["ae"], ["vae"]]
    series = panels[1].series[0]
    assert series.spread is not None
    assert series.mean.tolist() == [30.5, 29.5, 28.5, 27.5, 26.5]
    assert series.spread == pytest.approx([math.sqrt(0.5)] * 5)
