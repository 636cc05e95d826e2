"""Generated configurations of a lattice, judged as a simulation is: observables beside Monte Carlo and beside what is exact.

Of several temperatures, each is judged by the samples of its own class, which a conditional model is told; a model that is told
none makes a mixture, of which there are means but no fluctuations at a temperature.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.examples import Examples
from genlab.data.truth import HasObservables
from genlab.evaluation.entries import Entries, Entry
from genlab.lattice.observables import ALLOWED
from genlab.lattice.statistics import correlations, thermodynamics
from genlab.metrics.estimate import Estimate
from genlab.plots.images import Picture
from genlab.plots.temperature_curves import AgainstTemperature, Distribution, against_temperature, distributions

UNITS = {"energy": "J/site", "specific_heat": "k_B/site"}


@dataclass
class Judged:
    entries: Entries = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)


def judge_lattice(dataset: Dataset, samples: Tensor, labels: list[int] | int | None) -> Judged:
    """Observables of `samples` (n, 1, H, W), drawn with the classes `labels` in turns; nothing for data that have none."""
    truth, found = dataset.truth, Judged()
    if not isinstance(truth, HasObservables):
        return found
    test = _configurations(dataset.represent(_stored(dataset.test)).cpu(), truth)
    ours = _configurations(samples.cpu(), truth)
    groups = _groups(truth, len(samples), labels)
    missing: list[float | None] = []
    curves: dict[str, list[AgainstTemperature]] = {}
    for k, index in groups.items():
        several = len(groups) > 1
        T = truth.temperatures[k] if k is not None else None
        theirs = test
        if k is not None and len(truth.temperatures) > 1 and dataset.test.y is not None:
            theirs = test[torch.as_tensor(dataset.test.y == k).cpu()]
        mine = ours[index]
        if not len(mine) or not len(theirs):
            missing.append(T)
            continue
        made = thermodynamics(mine, truth.observables, T)
        real = thermodynamics(theirs, truth.observables, T)
        for name, measure in made.items():
            exact = truth.exact(name, T)
            key = f"{name}_T{T:g}" if several and T is not None else name
            found.entries[key] = _entry(name, measure, real[name], exact)
            if several and T is not None:
                curves.setdefault(name, []).append(AgainstTemperature(T, measure, real[name], exact))
        if not several:
            found.pictures["observables"] = _portrait(mine, theirs, truth)
    if curves:
        found.pictures["observables"] = against_temperature(curves, truth)
    found.facts = {
        "observables": list(truth.observables),
        "temperatures": list(truth.temperatures),
        "configurations": len(samples),
    }
    if missing:
        found.facts["temperatures_without_configurations"] = missing
    if truth.spins and (share := _between(samples)):
        found.facts["rounded"] = share
    return found


def _groups(truth: HasObservables, n: int, labels: list[int] | int | None) -> dict[int | None, Tensor]:
    """Class (None where all are judged together) -> places of its samples."""
    everything = torch.arange(n)
    if len(truth.temperatures) == 1:
        return {0: everything}
    if labels is None:
        return {None: everything}
    turns = [labels] if isinstance(labels, int) else labels
    own = torch.tensor(turns)[everything % len(turns)]
    return {k: (own == k).nonzero().squeeze(1) for k in sorted(set(turns))}


def _stored(examples: Examples) -> Tensor:
    return examples.take(torch.arange(len(examples)))


def _configurations(x: Tensor, truth: HasObservables) -> Tensor:
    """Examples (n, 1, H, W) as configurations (n, H, W): spins of -1 and +1, or the values themselves."""
    x = x.flatten(0, 1) if x.shape[1] == 1 else x[:, 0]
    return torch.where(x > 0.5, 1.0, -1.0) if truth.spins else x


def _between(samples: Tensor) -> float:
    """Share of components that are neither 0 nor 1, as those of a family that takes spins for real numbers."""
    return float(((samples != 0) & (samples != 1)).float().mean())


def _entry(name: str, measure: Estimate, real: Estimate, exact: float | None) -> Entry:
    return Entry("observables", measure.value, measure.stderr, UNITS.get(name, ""), "statistic", real=real, exact=exact)


def _portrait(ours: Tensor, theirs: Tensor, truth: HasObservables) -> Picture:
    """Distributions of energy and magnetisation, and the correlation function, of samples and of the test split."""
    shown = [
        Distribution(name, ALLOWED[name](ours), ALLOWED[name](theirs))
        for name in truth.observables
        if name in ("energy", "magnetisation")
    ]
    reach = None
    if "correlation" in truth.observables:
        reach = (correlations(ours), correlations(theirs))
    return distributions(shown, reach)
