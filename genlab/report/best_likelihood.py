"""The best likelihood that a run has, as one measure: an exact value before an estimate before a bound, the largest bound.

Several lower bounds on one number are all true, so the largest says most. Of the two directions of annealing the forward one is
shown, which the literature reports. What the value is stands beside it, and values that are not the same are not ranked.
"""

from dataclasses import replace

from genlab.report.measures import BEST, LIKELIHOOD, Measure, definition
from genlab.report.read_runs import Run
from genlab.report.rows import Row

KINDS = ("exact", "estimate", "lower bound")


def with_best_likelihood(row: Row) -> Row:
    """The row, whose runs have the measure BEST where they have a likelihood in nats."""
    return replace(row, runs=[_with_best(run) for run in row.runs])


def _with_best(run: Run) -> Run:
    found = [
        (name, measure)
        for name, measure in run.measures.items()
        if measure.group == LIKELIHOOD
        and measure.kind in KINDS
        and measure.unit == "nats"
        and measure.better == "higher"
    ]
    if not found:
        return run
    name, measure = min(found, key=lambda entry: _preference(*entry))
    best = replace(measure, kind="", note=_what(name, measure.kind))
    return replace(run, measures={**run.measures, BEST: best})


def _preference(name: str, measure: Measure) -> tuple[int, bool, float]:
    return KINDS.index(measure.kind), "reverse" in name, -measure.value


def _what(name: str, kind: str) -> str:
    """'exact', 'AIS estimate', 'IW bound, k = 100', 'flow lower bound', 'lower bound'."""
    method = definition(name).label
    if kind == "exact" or method in ("log-likelihood", "bound"):
        return kind
    return method if method == "ELBO" or "bound" in method else f"{method} {kind}"
