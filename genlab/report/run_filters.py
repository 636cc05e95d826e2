"""Which of the runs are meant, and in which order: state=finished, model=vae,ae, tag=-draft, since=2d; sorted by any result.

Of one word any value may hold, and all words must. A value with '-' before it is one that must not hold. Names may have * and ?.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError, did_you_mean
from genlab.report.measures import definition
from genlab.report.read_runs import show
from genlab.report.run_list import RunRecord, config_value, list_runs

STATES = ("running", "finished", "failed", "interrupted", "pruned")
UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FACTS: dict[str, Callable[[RunRecord], list[str]]] = {
    "state": lambda run: [run.state],
    "model": lambda run: [run.model],
    "dataset": lambda run: [run.dataset],
    "optimizer": lambda run: [run.optimizer],
    "seed": lambda run: [str(run.seed)],
    "tag": lambda run: list(run.tags),
    "name": lambda run: [run.name or ""],
    "note": lambda run: [run.note or ""],
}
"""Filter -> the values that a run has for it."""
KEYS = (*FACTS, "since", "before")
OTHERS = {"status": "state", "data": "dataset", "tags": "tag", "date": "since", "after": "since", "until": "before"}
"""Other words for a filter -> genlab's."""
ORDERS: dict[str, Callable[[RunRecord], Any]] = {
    "started": lambda run: run.started and run.started.timestamp(),
    "age": lambda run: run.age,
    "time": lambda run: run.seconds,
    "seconds": lambda run: run.seconds,
    "examples": lambda run: run.examples,
    "name": lambda run: run.name,
    "model": lambda run: run.model,
    "dataset": lambda run: run.dataset,
    "state": lambda run: run.state,
    "seed": lambda run: run.seed,
}
"""What runs can be sorted by, beside their results."""


def select(runs: Sequence[RunRecord], filters: Sequence[str]) -> list[RunRecord]:
    """The `runs` for which all `filters` hold. Raises GenlabError for a filter that there is not, and for a state or a time."""
    kept = list(runs)
    for word in filters:
        before = kept
        key, _, value = word.partition("=")
        if not value:
            raise GenlabError(f"{word}: this filter has no value; write for example {key}={_example(key)}")
        kept = _kept(kept, key, value)
        if before and not kept:
            break
    return kept


def explain_nothing(runs: Sequence[RunRecord], filters: Sequence[str]) -> str:
    """Why none of the `runs` is left: the filter that leaves nothing, and what there is in its place."""
    for k, word in enumerate(filters):
        if select(runs, filters[: k + 1]):
            continue
        key, _, value = word.partition("=")
        of = f" of {' '.join(filters[:k])}" if k else ""
        if key in ("model", "dataset", "optimizer", "tag", "name", "state", "seed"):
            known = sorted({fact for run in select(runs, filters[:k]) for fact in FACTS[key](run) if fact})
            hint = f"; {did_you_mean(value, known)}" if known else f"; no run has a {key}"
            return f"none of the {len(select(runs, filters[:k])):,} runs{of} has {word}{hint}"
        return f"none of the {len(select(runs, filters[:k])):,} runs{of} has {word}"
    return "there is no run yet"


def _kept(runs: list[RunRecord], key: str, value: str) -> list[RunRecord]:
    if key in ("since", "before"):
        moment = parse_time(key, value)
        return [run for run in runs if run.started is not None and (run.started >= moment) == (key == "since")]
    wanted = [value] if key == "note" else [part.strip() for part in value.split(",") if part.strip()]
    if key == "state":
        for word in wanted:
            if word.removeprefix("-") not in STATES:
                raise GenlabError(f"state={word}: there is no such state; {did_you_mean(word, STATES)}")
    if key in FACTS:
        facts = FACTS[key]
    elif "." in key:

        def facts(run: RunRecord) -> list[str]:
            return [show(config_value(run, key))]

    else:
        hint = f"did you mean '{OTHERS[key]}={value}'?" if key in OTHERS else did_you_mean(key, KEYS)
        raise GenlabError(f"{key}={value}: {key} is no filter of runs; {hint}")
    without = {word[1:] for word in wanted if word.startswith("-") and len(word) > 1 and not _is_number(word)}
    wanted = [word for word in wanted if word[1:] not in without or not word.startswith("-")]
    matches = _contains if key == "note" else _matches
    return [
        run
        for run in runs
        if (not wanted or any(matches(fact, word) for fact in facts(run) for word in wanted))
        and not any(matches(fact, word) for fact in facts(run) for word in without)
    ]


def _matches(fact: str, word: str) -> bool:
    if fact == word or fnmatchcase(fact, word):
        return True
    return _is_number(fact) and _is_number(word) and float(fact) == float(word)


def _contains(fact: str, word: str) -> bool:
    return word.lower() in fact.lower()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _example(key: str) -> str:
    return {"state": "finished", "since": "2d", "before": "today", "dataset": "mnist", "tag": "report"}.get(key, "vae")


def parse_time(key: str, text: str) -> datetime:
    """'2026-11-20', '2026-11-20T14:00', 'today', 'yesterday', or so long ago: '30min', '12h', '2d', '1w'.

    Raises GenlabError for what is no time.
    """
    now = datetime.now().astimezone()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday", "now"):
        return {"today": today, "yesterday": today - timedelta(days=1), "now": now}[text]
    if match := re.fullmatch(r"(\d{1,6}(?:\.\d+)?)(min|h|d|w)", text):
        return now - timedelta(**{UNITS[match[2]]: float(match[1])})
    try:
        return datetime.fromisoformat(text.replace("_", "T", 1)).astimezone()
    except (ValueError, OverflowError):
        raise GenlabError(
            f"{key}={text}: is no time; write a date such as {today:%Y-%m-%d}, today, or so long ago: 12h, 2d"
        ) from None


def ordered(runs: Sequence[RunRecord], key: str) -> list[RunRecord]:
    """Sorted by a result, a cost or a column, those without it last.

    '-KEY' puts the largest first, '+KEY' the smallest. KEY puts the best first: the largest of what is better when it is larger,
    and of everything else the smallest.
    Raises GenlabError where no run has it.
    """
    sign, name = (key[0], key[1:]) if key[:1] in ("-", "+") else ("", key)
    value = ORDERS.get(name, lambda run: run.value(name))
    known = [run for run in runs if value(run) is not None]
    if runs and not known:
        there = {result for run in runs for result in run.results} | ORDERS.keys()
        there |= {result.partition("/")[2] for result in there if "/" in result}
        raise GenlabError(f"--sort {key}: no run has this result; {_few(name, there)}")
    descending = sign == "-" or (not sign and name == "started")
    if not sign and name not in ORDERS:
        descending = _is_better_when_larger(known[0], name) if known else False
    return sorted(known, key=value, reverse=descending) + [run for run in runs if value(run) is None]


def _is_better_when_larger(run: RunRecord, key: str) -> bool:
    """Whether larger values are better of the result `key`, which `run` has."""
    better = run.results[run.full_name(key) or key].better or definition(key.rpartition("/")[2]).better
    return better == "higher"


def _few(name: str, there: set[str]) -> str:
    hint = did_you_mean(name, there)
    return hint if hint.startswith("did you") else "see --json for what there is, or sort by started, time or examples"


def matching(
    places: Sequence[str | Path] = (), filters: Sequence[str] = (), sort: str | None = None, limit: int | None = None
) -> list[RunRecord]:
    """The runs in `places` (run_list.list_runs) for which all `filters` hold, at most `limit` of them, in the order of `sort`."""
    runs = select(list_runs(places), filters)
    return (runs if sort is None else ordered(runs, sort))[:limit]
