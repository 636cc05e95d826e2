"""The end of a sweep: one table over all its jobs, and failures with their reasons."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from genlab.composition.catalogue import GROUPS
from genlab.metrics.rounding import plain as plain_number
from genlab.metrics.rounding import rounded
from genlab.tracking.next_steps import below_each_other, to_type
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.sweep_folder import WAITING, Entry, SweepFolder, settings, value_of, varied_keys

MOST_COLUMNS = 4
WIDEST = 10_000  # characters of a table of any width


def summarise(folder: Path, command: str) -> int:
    """Print the table of a sweep of `command` in `folder`, and return the number of jobs that failed or were interrupted."""
    from genlab.tracking.console import console, fact, prose

    content = SweepFolder(folder).refresh()
    jobs = content["jobs"]
    varied = varied_keys(jobs)
    measures = _in_turns([list(job["results"]) for job in jobs])
    for columns in range(MOST_COLUMNS, -1, -1):  # as many measures as the screen is wide enough for
        table = _table(jobs, varied, measures[:columns])
        if Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum <= console.width:
            break
    console.print(table)
    failures = [job for job in jobs if job["state"] not in ("finished", "running", WAITING)]
    for job in failures:
        console.print(f"job {job['number']} {job['state']}: {job['error']}", style="red", markup=False)
    for job in (job for job in jobs if job["state"] == "running"):
        where = RunFolder(folder / job["folder"]).elsewhere
        prose(f"job {job['number']} is being trained by another process{f' on {where}' if where else ''}")
    best = next((job for job in jobs if job["number"] == content["best"]), None)
    if best is not None and len(jobs) > 1:
        value = value_of(best, content["measure"])
        fact("best", f"job {best['number']} ({label(settings(best), varied)}): {content['measure']} {value:.4g}")
    begun = [job for job in jobs if job["state"] != WAITING]
    runs, labels = [RunFolder(folder / job["folder"]) for job in begun], [label(settings(job), varied) for job in begun]
    if picture := draw_sweep(folder, runs, labels):
        fact("curves", str(picture))
    fact("folder", str(folder))
    finished = [settings(job) for job in jobs if job["state"] == "finished"]
    steps = next_steps(command, folder, [chosen.get("run", "latest") for chosen in finished])
    if command == "train" and (failures or len(begun) < len(jobs)):
        steps = [to_type("resume", folder), *steps]
    if steps:
        fact("next", below_each_other(steps))
    return len(failures)


def _table(jobs: Sequence[Entry], varied: Sequence[str], measures: Sequence[str]) -> Table:
    """A line a job: what it is, its `measures`, and the seconds that it took."""
    table = Table(title=f"sweep of {len(jobs)} jobs", title_justify="left", box=None, pad_edge=False)
    for head in ("job", *varied, "state"):
        table.add_column(head)
    for head in (*measures, "seconds"):
        table.add_column(head, justify="right", no_wrap=True)
    for job in jobs:
        chosen, results = settings(job), job["results"]
        cells = [str(job["number"]), *(chosen.get(key, "") for key in varied), job["state"]]
        found = [results.get(measure) for measure in measures]
        shown = [plain_number(rounded(result["value"], result["stderr"])) if result else "" for result in found]
        table.add_row(*map(escape, [*cells, *shown]), f"{job['seconds']:,.1f}" if job["seconds"] is not None else "")
    return table


def next_steps(command: str, folder: Path, runs: list[str]) -> list[str]:
    """What to type after a sweep of `command` in `folder`, whose finished jobs were about `runs`."""
    if not runs:
        return []
    if command == "train":
        return [to_type("compare", folder), to_type("dashboard", folder)]
    return [to_type("compare", *dict.fromkeys(runs))] if command == "evaluate" else []


def label(chosen: Mapping[str, str], varied: Sequence[str]) -> str:
    """'adam', or 'k=5, seed=1': what is particular to a job. The choice in a group needs no key."""
    return ", ".join(
        chosen[key] if key in GROUPS else f"{key.rpartition('.')[2]}={chosen[key]}" for key in varied if key in chosen
    )


def draw_sweep(folder: Path, jobs: Sequence[RunFolder], labels: Sequence[str]) -> Path | None:
    """sweep_curves.png: the learning curves of all jobs of a sweep of trainings, and its caption."""
    from genlab.config.targets import locate
    from genlab.experiment.opening import read_config
    from genlab.plots.captions import write_captions
    from genlab.plots.images import save_png
    from genlab.report.sweep_curves import Job, read_records, sweep_curves

    found = []
    for job, label in zip(jobs, labels, strict=True):
        if records := read_records(job.metrics):
            family = locate(read_config(job)["model"]["_target_"], "model")
            found.append(Job(label, records, getattr(family, "charts", {})))
    picture = sweep_curves(found)
    if picture is None:
        return None
    save_png(folder / "sweep_curves.png", picture)
    write_captions(folder)
    return folder / "sweep_curves.png"


def _in_turns(lists: list[list[str]]) -> list[str]:
    """The first of each list, then the second of each, ...: so families that measure different things have a column each."""
    return list(dict.fromkeys(name for rank in zip_longest(*lists) for name in rank if name is not None))
