"""Repetitions of a measurement beside the truth: how many of them hold it within two standard errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from rich.table import Table

from genlab.metrics.estimate import Estimate

REPETITIONS = 200
LOW, HIGH = 0.90, 0.98  # 200 repetitions of an exact 95 % scatter by 1.5 %

Measured = Mapping[str, Estimate]


@dataclass(frozen=True)
class Case:
    """One setting in which measures are taken."""

    name: str
    measure: Callable[[int], Measured]
    """Of the number of the repetition: all data are drawn anew from it."""
    truth: Callable[[], Mapping[str, float]] = dict
    """Measure -> its true value. Of the others, which are biased at any finite n, the mean over the repetitions stands for it."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Measure -> why its coverage is not between LOW and HIGH."""
    most: int = 10**9
    """Repetitions that are enough of what takes long."""


@dataclass(frozen=True)
class Coverage:
    measure: str
    case: str
    truth: float
    known: bool
    """Whether `truth` is the true value, or else the mean over the repetitions."""
    mean: float
    scatter: float
    """Standard deviation over the repetitions."""
    stated: float
    """Root mean square of the stated errors."""
    covered: float
    """Share of the repetitions within two stated errors of the truth."""
    repetitions: int
    reason: str

    @property
    def holds(self) -> bool:
        """Whether that share is between LOW and HIGH, with the scatter that fewer repetitions than REPETITIONS add."""
        slack = 2 * (0.05 * 0.95) ** 0.5 * (self.repetitions**-0.5 - REPETITIONS**-0.5)
        low, high = LOW - max(0.0, slack), HIGH + max(0.0, slack)
        return bool(low <= self.covered <= high)


def study(case: Case, repetitions: int = REPETITIONS) -> list[Coverage]:
    """A row for every measure of the case."""
    repetitions = min(repetitions, case.most)
    found: dict[str, list[Estimate]] = {}
    for number in range(repetitions):
        torch.manual_seed(number)
        for name, estimate in case.measure(number).items():
            found.setdefault(name, []).append(estimate)
    truth = case.truth()
    return [_row(case, name, estimates, truth.get(name)) for name, estimates in found.items()]


def _row(case: Case, name: str, estimates: list[Estimate], known: float | None) -> Coverage:
    values, errors = torch.tensor(estimates, dtype=torch.float64).T
    truth = float(values.mean()) if known is None else known
    return Coverage(
        name,
        case.name,
        truth,
        known is not None,
        float(values.mean()),
        float(values.std()),
        float(errors.square().mean().sqrt()),
        float(((values - truth).abs() <= 2 * errors).double().mean()),
        len(values),
        case.reasons.get(name, ""),
    )


def table(rows: list[Coverage]) -> Table:
    found = Table(box=None, pad_edge=False)
    for column in ("measure", "of"):
        found.add_column(column)
    for column in ("truth", "mean", "scatter", "stated", "scatter/stated", "covered"):
        found.add_column(column, justify="right", no_wrap=True)
    found.add_column("remark")
    for row in rows:
        truth = f"{row.truth:.4g}" if row.known else "its mean"
        numbers = [f"{value:.4g}" for value in (row.mean, row.scatter, row.stated)]
        ratio = f"{row.scatter / row.stated:.2f}" if row.stated > 0 else ""
        remark = "" if row.holds else row.reason or "OUTSIDE"
        found.add_row(row.measure, row.case, truth, *numbers, ratio, f"{100 * row.covered:.1f} %", remark)
    return found
