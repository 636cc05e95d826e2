"""genlab compare RUN...: one table and one page over several runs, and the same as files for a report."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from genlab.composition.words import exists
from genlab.errors import GenlabError, did_you_mean
from genlab.tracking.own_folder import own_folder

USAGE = """\
usage: genlab compare [NAME=]RUN [[NAME=]RUN ...] [--out FOLDER] [--metrics a,b,c]

  RUN                a run folder, the name of a run, 'latest', a glob, or a folder that holds runs (a sweep);
                     runs that differ in nothing but their seed are one row
  NAME=RUN           the same, called NAME in tables and figures
  --out FOLDER       where to write (default: outputs/compare/<date>_<time>)
  --metrics a,b,c    only these measures, in this order

Writes index.html (one file, no network), table.csv (a line a row), runs.csv (a line a run and measure), table.md,
table.tex, and figures/*.pdf and *.svg.

  genlab compare outputs/train/sweep/2026-11-22_17-06-30
  genlab compare 'outputs/train/*-mnist/*' --metrics fid,coverage,training_seconds
  genlab compare small=outputs/train/vae-mnist/2026-11-22_17-06-30 'large net=latest'
"""
FLAGS = ("--out", "--metrics")
NO_NAMES = ("out", "metrics", "metric")


def main(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(USAGE, end="")
        return 0
    words, flags = parse(arguments)
    if not words:
        raise GenlabError(
            "compare takes one run or more: run folders, 'latest', globs, or folders that hold runs; see genlab compare --help"
        )
    metrics = [name.strip() for name in flags.get("--metrics", "").split(",") if name.strip()]
    if "--metrics" in flags and not metrics:
        raise GenlabError("--metrics names no measure; give some, as in --metrics fid,coverage, or leave it out")
    out = Path(flags["--out"]) if "--out" in flags else None
    compare(words, out, metrics, shlex.join(["genlab", "compare", *arguments]))
    return 0


def parse(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Words and flags. Raises GenlabError for a flag that is not known or has no value."""
    from genlab.report.find import names_runs, split_name
    from genlab.tracking.run_names import check_name

    words: list[str] = []
    flags: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, assigned, value = word.partition("=")
        if word == "--":
            words += rest
            break
        if word.startswith("-") and word != "-" and (name in FLAGS or not exists(word)):
            if name not in FLAGS:
                raise GenlabError(f"{name} is not a flag of compare; {did_you_mean(name, FLAGS)}")
            if name in flags:
                raise GenlabError(f"{name} is given twice; give it once")
            if not assigned:
                value = rest.pop(0) if rest and not rest[0].startswith("-") else ""
            if not value:
                raise GenlabError(f"{name} needs a value; see genlab compare --help")
            flags[name] = value
        elif name in ("run", "runs") and assigned:
            words.append(value)
        elif (parts := split_name(word))[0]:
            if name not in NO_NAMES and names_runs(parts[1]):
                check_name(name)
                words.append(word)
                continue
            hint = did_you_mean(f"--{name}", FLAGS).replace("'?", f" {value}'?")
            raise GenlabError(f"{word}: compare takes run folders, NAME=RUN and flags, no overrides; {hint}")
        else:
            words.append(str(Path(word).expanduser()))
    return words, flags


def compare(words: Sequence[str], out: Path | None, metrics: Sequence[str], command: str) -> None:
    """Read the runs, print the table, and write the page and its files into the folder `out`, or a new one."""
    from genlab.interface.comparison import assemble, check_metrics, title, write
    from genlab.report.find import find_runs
    from genlab.report.rows import make_rows
    from genlab.report.tables import overview
    from genlab.report.terminal import show
    from genlab.tracking.console import console
    from genlab.tracking.next_steps import to_type

    runs, failures = find_runs(words)
    check_metrics(metrics, runs)
    try:
        out = out or own_folder(Path(f"outputs/compare/{datetime.now():%Y-%m-%d_%H-%M-%S}"))
        (out / "figures").mkdir(parents=True, exist_ok=True)
        show(overview(make_rows(runs).rows, metrics), title(runs), console)  # the figures take some seconds
        comparison = assemble(runs, failures, metrics, out, command)
        write(comparison, out, metrics)
    except OSError as error:
        place = error.filename or out
        raise GenlabError(f"--out {out}: {place} cannot be written ({error.strerror}); name another folder") from None
    for failure in failures:
        console.print(f"{failure.path} failed: {failure.error}", style="red", markup=False)
    for notice in comparison.notices:
        console.print(f"note: {notice}", style="yellow", markup=False)
    waiting = [run for run in comparison.runs if not run.evaluated]
    if waiting:
        console.print(f"{len(waiting)} of {len(comparison.runs)} runs are not evaluated; to do so:", style="yellow")
        for run in waiting:
            console.print(f"  {to_type('evaluate', f'run={run.path}')}", markup=False)
    for name, what in (
        ("page", "index.html"),
        ("tables", "table.csv, runs.csv, table.md, table.tex"),
        ("figures", "figures/*.pdf and *.svg"),
    ):
        console.print(f"  {name:<9} {out}/{what}", markup=False)
