"""One picture of a whole sweep: every job's learning curves, a panel for each scalar that its families look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genlab.errors import GenlabError
from genlab.plots.images import Picture
from genlab.plots.learning_curves import MOST_NAMES, Chart, Curve, CurvePanel, Records, draw_panels, series, words
from genlab.plots.style import colour
from genlab.tracking.untrusted import parse_json

MOST_PANELS = 9
AXES = {"examples": "examples seen", "seconds": "seconds of training"}
MOST_JOBS = 24  # beyond, no curve could be told from the others


@dataclass(frozen=True)
class Job:
    label: str
    records: Records
    charts: Mapping[str, Chart]


def read_records(path: Path) -> list[dict[str, float]]:
    """Records of metrics.jsonl, as far as they are whole; none where there is no file."""
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            record = parse_json(line)
        except (ValueError, GenlabError):  # a job that was killed has left half a line
            break
        if not isinstance(record, dict) or not all(isinstance(value, int | float) for value in record.values()):
            break
        found.append(record)
    return found


def sweep_curves(jobs: Sequence[Job]) -> Picture | None:
    """Panels of the loss, against examples and against seconds, and of each scalar of the charts; None for one job alone."""
    jobs = [job for job in jobs if job.records]
    if not 2 <= len(jobs) <= MOST_JOBS:
        return None
    loss = Chart(["train/loss", "eval/loss"], "Thick: validation; thin, where both are there: training.")
    terms: dict[str, tuple[Chart, list[str]]] = {}
    for chart in [loss, *(chart for job in jobs for chart in job.charts.values())]:
        for name in chart.names if len(chart.names) <= MOST_NAMES else ():  # not a panel for each level of noise
            terms.setdefault(_term(name), (chart, []))[1].append(name)
    panels = []
    for key, (chart, names) in terms.items():
        for axis, what in AXES.items() if key == "loss" else [("examples", AXES["examples"])]:
            if (panel := _panel(key, chart, names, jobs, axis, what)) is not None:
                panels.append(panel)
    panels.sort(key=lambda panel: -len({curve.label for curve in panel.curves}))  # those that compare most jobs first
    return draw_panels(panels[:MOST_PANELS]) if panels else None


def _term(name: str) -> str:
    """One term for training and held-out examples: of train/loss and eval/loss, of d_train and d_held_out."""
    split, _, term = name.partition("/")
    return term if split in ("train", "eval") else name.removesuffix("_train").removesuffix("_held_out")


def _of_training(name: str) -> bool:
    return name.startswith("train/") or name.endswith("_train")


def _panel(
    key: str, chart: Chart, names: Sequence[str], jobs: Sequence[Job], axis: str, what: str
) -> CurvePanel | None:
    """One term of all jobs: the held-out one in full, the training one thin behind it, where there are both."""
    names = sorted(dict.fromkeys(names), key=lambda name: not _of_training(name))
    curves = []
    for k, job in enumerate(jobs, 1):
        found = {name: series(job.records, name, axis) for name in names}
        found = {name: (x, y) for name, (x, y) in found.items() if len(x) > 1}
        for name, (x, y) in found.items():
            curves.append(Curve(job.label, x, y, colour(k), faint=name != list(found)[-1]))
    if not curves or all(float(curve.y.std()) == 0 for curve in curves):
        return None
    title = words(key if "/" in key else f"monitor/{key}") + (": gradient norm" if "gradient_norm" in key else "")
    return CurvePanel(title, chart.caption, curves, chart.lines, chart.logarithmic, what)
