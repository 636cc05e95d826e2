"""A comparison of runs: its tables, and the page and files that hold it."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from genlab import __version__
from genlab.errors import GenlabError, did_you_mean
from genlab.report.bars import draw_cost, draw_legend, draw_measures
from genlab.report.csv_files import write_rows_csv, write_runs_csv
from genlab.report.curves import draw_curves, make_panels
from genlab.report.documents import markdown, tex
from genlab.report.galleries import galleries
from genlab.report.page import Comparison, render
from genlab.report.read_runs import Failure, Run
from genlab.report.rows import make_rows
from genlab.report.sweeps import draw_sweeps
from genlab.report.tables import make_tables, overview


def check_metrics(metrics: Sequence[str], runs: Sequence[Run]) -> None:
    known = {name for run in runs for name in run.measures}
    for name in metrics:
        if name not in known:
            raise GenlabError(f"--metrics {name}: none of these runs has this measure; {did_you_mean(name, known)}")


def assemble(
    runs: Sequence[Run], failures: Sequence[object], metrics: Sequence[str], out: Path, command: str
) -> Comparison:
    """Everything that is shown; draws the figures into out/figures."""
    grouped = make_rows(runs)
    rows, figures = grouped.rows, out / "figures"
    tables = make_tables(rows, metrics)
    damaged = [f"{run.path}: {problem}" for run in runs for problem in run.problems]
    return Comparison(
        title=title(runs),
        made=datetime.now().astimezone(),
        version=__version__,
        command=command,
        rows=rows,
        differences=grouped.differences,
        failures=[failure for failure in failures if isinstance(failure, Failure)],
        notices=[*grouped.notices, *damaged],
        overview=overview(rows, metrics),
        tables=tables,
        measures=draw_measures(tables, figures),
        sweeps=draw_sweeps(rows, grouped.differences, tables, figures),
        curves=draw_curves(make_panels(rows), figures),
        cost=draw_cost(rows, make_tables(rows), figures),
        legend=draw_legend(rows, figures),
        galleries=galleries(rows),
        files=["table.csv", "runs.csv", "table.md", "table.tex", "figures/"],
    )


def title(runs: Sequence[Run]) -> str:
    """'ae and vae on digits'."""

    def listed(names: list[str]) -> str:
        shown = names if len(names) <= 5 else [*names[:4], f"{len(names) - 4} more"]
        return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)

    models = list(dict.fromkeys(run.choices["model"] for run in runs))
    datasets = list(dict.fromkeys(run.choices["dataset"] for run in runs))
    return f"{listed(models)} on {listed(datasets)}"


def write(comparison: Comparison, out: Path, metrics: Sequence[str]) -> None:
    with (out / "table.csv").open("w", newline="") as file:
        write_rows_csv(file, comparison.rows, metrics)
    write_runs_csv(out / "runs.csv", comparison.rows, metrics)
    tables = [*comparison.overview, *comparison.tables]
    (out / "table.md").write_text(markdown(tables, comparison.title), encoding="utf-8")
    (out / "table.tex").write_text(tex(tables, comparison.title), encoding="utf-8")
    (out / "index.html").write_text(render(comparison), encoding="utf-8")
