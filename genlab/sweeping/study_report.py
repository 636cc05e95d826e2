"""What a search has found: its trials, trials.csv, the best one with its command, and its measure on the test split."""

import csv
import math
import warnings
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from genlab.metrics.rounding import plain, rounded
from genlab.sweeping.objective import evaluated
from genlab.sweeping.search import Search
from genlab.sweeping.study import library
from genlab.tracking.console import console, fact
from genlab.tracking.next_steps import below_each_other, to_type

SHOWN = 12  # trials of the table on the console; trials.csv has all
LEAST = 8  # finished trials, below which the importance of a key says nothing


def describe_study(search: Search, at_once: int) -> None:
    """Say what is searched, what is there already, and how the search goes on after an interruption."""
    settings, objective, done = search.settings, search.objective, len(search.counted)
    kinds = {"maximize": "highest", "minimize": "lowest"}
    what = f"eval/{objective.metric}" if objective.recorded else f"{objective.metric} of the validation split"
    rounds = f", {at_once} at a time," if at_once > 1 else ""
    console.print(
        f"search of {settings['n_trials']} trials{rounds} for the {kinds[objective.direction]} {what}"
        + (f", {done} of them there already" if done else ""),
        markup=False,
    )
    for dimension in search.space.dimensions:
        fact("varied", str(dimension))
    fact("study", f"{search.study.study_name} in {_without_password(search.place)}")
    fact("goes on", f"after an interruption: {search.command}")


def _without_password(place: str) -> str:
    head, separator, rest = place.partition("://")
    if not separator:
        return str(Path(place).relative_to(Path.cwd())) if Path(place).is_relative_to(Path.cwd()) else place
    return f"{head}://{rest.rpartition('@')[2]}"


def report_study(search: Search) -> int:
    """Print and write what the study has found; returns the number of failed trials."""
    states = library().trial.TrialState
    trials = [trial for trial in search.trials if trial.state.is_finished()]
    complete = [trial for trial in trials if trial.state == states.COMPLETE]
    sign = 1.0 if search.objective.direction == "minimize" else -1.0
    ordered = sorted(complete, key=lambda trial: sign * trial.value)
    ordered += [trial for trial in trials if trial.state != states.COMPLETE]
    _write(search, search.folder / "trials.csv", trials)
    console.print(_table(search, ordered[:SHOWN]))
    if len(ordered) > SHOWN:
        console.print(f"and {len(ordered) - SHOWN} more in trials.csv")
    failed = [trial for trial in search.counted if trial.state == states.FAIL]
    for trial in failed:
        console.print(f"trial {trial.number} failed: {search.reason(trial)}", style="red", markup=False)
    pruned = sum(trial.state == states.PRUNED for trial in trials)
    counts = [f"{len(complete)} finished", f"{pruned} pruned", f"{len(failed)} failed"]
    counts += [f"{killed} killed and run anew"] if (killed := len(trials) - len(search.counted)) else []
    fact("trials", ", ".join(counts))
    fact("table", str(search.folder / "trials.csv"))
    if complete:
        _show_best(search, ordered[0])
    return len(failed)


def _show_best(search: Search, best: Any) -> None:
    objective, default, run = search.objective, search.default_trial(), search.run_of(best)
    if shares := _importance(search):
        fact("importance", ", ".join(f"{key} {share:.0%}" for key, share in shares.items()) + " (rough, of few trials)")
    fact("best", f"trial {best.number}: {objective.metric} {best.value:.5g} on the validation split")
    if default is not None and default.value is not None:
        same = " (the best one)" if default.number == best.number else ""
        fact("default", f"trial {default.number}: {objective.metric} {default.value:.5g}{same}")
    tests = [f"{word} {found}" for word, t in (("best", best), ("default", default)) if (found := _test(search, t))]
    if tests:
        fact("test split", f"{objective.metric}: {', '.join(tests)}; no trial was chosen by it")
    steps = [to_type("train", *search.words(best))]
    if run is not None:
        steps += [to_type("evaluate", f"run={run.path}")]
        steps += [to_type("compare", r.path, run.path) for r in [_run(search, default)] if r and r.path != run.path]
    fact("next", below_each_other(steps))


def _run(search: Search, trial: Any) -> Any:
    return None if trial is None else search.run_of(trial)


def _test(search: Search, trial: Any) -> str:
    """The measure of a trial on the test split with its error; empty where there is none."""
    run = _run(search, trial)
    if run is not None and not search.objective.recorded:
        value, stderr = evaluated(run, search.objective.metric, "test")
        return plain(rounded(value, stderr)) if math.isfinite(value) else ""
    found = run.info().get("results", {}).get(f"test/{search.objective.metric}") if run is not None else None
    return "" if not found else plain(rounded(found["value"], found["stderr"]))


def _importance(search: Search) -> dict[str, float]:
    """Share of each key in what makes a trial good (PED-ANOVA); empty where there are too few trials, or one key."""
    optuna = library()
    complete = [trial for trial in search.counted if trial.state == optuna.trial.TrialState.COMPLETE]
    keys = [d.key for d in search.space.dimensions]
    usable = [trial for trial in complete if all(key in trial.params for key in keys)]
    if len(usable) < LEAST or len(keys) < 2:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(search.study, params=keys)
    except Exception:  # a key that was never varied, or values that are all alike
        return {}
    return {str(key): float(share) for key, share in found.items() if math.isfinite(share)}


def _table(search: Search, trials: list[Any]) -> Table:
    keys = [d.key for d in search.space.dimensions]
    table = Table(title=f"{len(search.counted)} trials, the best first", title_justify="left", box=None, pad_edge=False)
    for head in ("trial", "state"):
        table.add_column(head)
    table.add_column(search.objective.metric, justify="right", no_wrap=True)
    for key in keys:
        table.add_column(key.rpartition(".")[2], justify="right")
    for trial in trials:
        value = "" if trial.value is None else f"{trial.value:.5g}"
        cells = [str(trial.number), _state(trial), value, *(_shown(search, trial, key) for key in keys)]
        table.add_row(*map(escape, cells))
    return table


def _state(trial: Any) -> str:
    names = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
    return "killed" if "killed" in trial.user_attrs else names.get(trial.state.name, trial.state.name.lower())


def _shown(search: Search, trial: Any, key: str) -> str:
    """A value as it stood in the override; 'default' where the trial had none."""
    if key not in trial.params:
        return "default"
    dimension = next(d for d in search.space.dimensions if d.key == key)
    return dimension.word(trial.params[key]).partition("=")[2]


def _write(search: Search, path: Path, trials: list[Any]) -> None:
    """trials.csv: every trial in order, with its values as they were trained."""
    keys = [d.key for d in search.space.dimensions]
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["trial", "state", search.objective.metric, *keys, "evaluations", "seconds", "run"])
        for trial in trials:
            run = search.run_of(trial)
            seconds = "" if trial.duration is None else f"{trial.duration.total_seconds():.1f}"
            values = ["" if key not in trial.params else _shown(search, trial, key) for key in keys]
            value = "" if trial.value is None else trial.value
            folder = "" if run is None else run.path.name
            table.writerow(
                [trial.number, _state(trial), value, *values, len(trial.intermediate_values), seconds, folder]
            )
    partial.replace(path)
