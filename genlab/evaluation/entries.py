"""What metrics.json holds: a value, its standard error, its unit and kind, and the numbers with which it is compared."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from genlab.inference.likelihood import LikelihoodKind
from genlab.metrics.estimate import Estimate
from genlab.models.base import Better

Kind = LikelihoodKind | Literal["upper bound", "statistic", "biased", "cost"]
"""A likelihood, or a divergence that follows from one, is exact, a bound or an estimate. Else a value is a statistic of finite
samples, or a cost. A biased statistic is off by more than its error where it is small: `real` holds the floor that tells."""
Group = Literal[
    "likelihood",
    "observables",
    "sample quality",
    "diversity",
    "memorisation",
    "reconstruction",
    "denoising",
    "compression",
    "codes",
    "anomaly",
    "classification",
    "family",
    "cost",
]
GROUPS: tuple[Group, ...] = get_args(Group)
"""In the order in which tables show them."""


@dataclass(frozen=True)
class Entry:
    group: Group
    value: float
    stderr: float | None
    """Standard error; None for a value that has none, such as a count."""
    unit: str
    kind: Kind
    better: Better = None
    real: Estimate | None = None
    """The same of real examples in place of the generated ones: the floor, or the ceiling, of every model. Of a calibration error
    that of a perfectly calibrated classifier."""
    baseline: Estimate | None = None
    """A value that a model must surpass to have learned anything: the same of the model whose components are independent; for
    denoising, of the noisy examples themselves; for codes, of as many principal components."""
    exact: float | None = None
    """The true value, where it is known without a simulation."""

    @property
    def deviation(self) -> float | None:
        """Difference from the exact value, or else from that of real examples, in standard errors; None without either."""
        other = self.real if self.exact is None else Estimate(self.exact, 0.0)
        if self.stderr is None or other is None:
            return None
        error = math.hypot(self.stderr, other.stderr)
        return (self.value - other.value) / error if error > 0 else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain containers for strict JSON: a number that is not finite becomes null."""
        found: dict[str, Any] = {
            "value": _finite(self.value),
            "stderr": None if self.stderr is None else _finite(self.stderr),
            "unit": self.unit,
            "kind": self.kind,
            "group": self.group,
        }
        if self.better is not None:
            found["better"] = self.better
        if self.group == "observables":
            found |= {"exact": self.exact, "deviation": None if self.deviation is None else _finite(self.deviation)}
        for name, measure in (("real", self.real), ("baseline", self.baseline)):
            if measure is not None:
                found[name] = {"value": _finite(measure.value), "stderr": _finite(measure.stderr)}
        return found


Entries = dict[str, Entry]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def entry(
    group: Group,
    measure: Estimate,
    unit: str,
    better: Better = None,
    kind: Kind = "statistic",
    real: Estimate | None = None,
    baseline: Estimate | None = None,
) -> Entry:
    return Entry(group, measure.value, measure.stderr, unit, kind, better, real, baseline)
