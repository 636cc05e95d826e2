"""Generated configurations of a lattice, measured as a simulation is: observables beside Monte Carlo and exact values.

Of several temperatures, each is measured on the samples of its own class, where the model is conditional on the temperature. A
model without this condition generates a mixture, of which there are means but no fluctuations at a temperature.
"""

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.examples import Examples
from genlab.data.truth import HasObservables
from genlab.evaluation.entries import Entry
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.inference.samples import Samples
from genlab.lattice.observables import ALLOWED
from genlab.lattice.statistics import correlations, thermodynamics, too_short
from genlab.metrics.estimate import Estimate
from genlab.plots.images import Picture
from genlab.plots.temperature_curves import AgainstTemperature, Distribution, against_temperature, distributions

UNITS = {"energy": "J/site", "specific_heat": "k_B/site"}


def lattice_observables(context: EvaluationContext, findings: Findings) -> None:
    """Observables of the samples; nothing for data that have none."""
    compare_observables(findings, context.dataset, context.samples)


def compare_observables(findings: Findings, dataset: Dataset, samples: Samples) -> None:
    """Observables of `samples`, (n, 1, H, W), of each class, beside those of the test split."""
    truth = dataset.truth
    if not isinstance(truth, HasObservables):
        return
    test = _configurations(dataset.represent(_stored(dataset.test)).cpu(), truth)
    generated = _configurations(samples.x, truth)
    groups = _groups(truth, samples)
    several = len(groups) > 1
    missing: list[float | None] = []
    curves: dict[str, list[AgainstTemperature]] = {}
    lengths: dict[str, list[float]] = {}
    for k, index in groups.items():
        T = truth.temperatures[k] if k is not None else None
        of_test, of_samples, chain = test, generated[index], samples[index].chain
        if k is not None and len(truth.temperatures) > 1 and dataset.test.y is not None:
            of_test = test[torch.as_tensor(dataset.test.y == k).cpu()]
        if not len(of_samples) or not len(of_test):
            missing.append(T)
            continue
        for whose, s in (("samples", of_samples), ("test split", of_test)):
            known = chain is not None and whose == "samples"
            if not known and (length := too_short(s, truth.observables)):
                lengths.setdefault(whose, []).append(length)
        real = thermodynamics(of_test, truth.observables, T)
        for name, measure in thermodynamics(of_samples, truth.observables, T, chain).items():
            exact = truth.exact(name, T)
            key = f"{name}_T{T:g}" if several and T is not None else name
            findings.entries[key] = _entry(name, measure, real[name], exact)
            if several and T is not None:
                curves.setdefault(name, []).append(AgainstTemperature(T, measure, real[name], exact))
        if not several:
            findings.pictures["observables"] = _distributions(of_samples, of_test, truth, chain)
    if curves:
        findings.pictures["observables"] = against_temperature(curves, truth)
    findings.facts |= {
        "observables": list(truth.observables),
        "temperatures": list(truth.temperatures),
        "configurations": len(samples),
    }
    if samples.chains is not None:
        findings.facts["chains"] = samples.chains
    if lengths:
        findings.facts["autocorrelation_times"] = {whose: min(found) for whose, found in lengths.items()}
    if missing:
        findings.facts["temperatures_without_configurations"] = missing
    if truth.spins and (share := _share_between(samples.x)):
        findings.facts["rounded"] = share


def _groups(truth: HasObservables, samples: Samples) -> dict[int | None, Tensor]:
    """Class (None for all samples together) -> places of its samples."""
    everything = torch.arange(len(samples))
    if len(truth.temperatures) == 1:
        return {0: everything}
    if samples.labels is None:
        return {None: everything}
    return {k: everything[samples.labels == k] for k in samples.labels.unique().tolist()}


def _stored(examples: Examples) -> Tensor:
    return examples.take(torch.arange(len(examples)))


def _configurations(x: Tensor, truth: HasObservables) -> Tensor:
    """Examples (n, 1, H, W) as configurations (n, H, W): spins of -1 and +1, or the values themselves."""
    x = x.flatten(0, 1) if x.shape[1] == 1 else x[:, 0]
    return torch.where(x > 0.5, 1.0, -1.0) if truth.spins else x


def _share_between(samples: Tensor) -> float:
    """Share of components that are neither 0 nor 1: a family for real numbers generates them."""
    return float(((samples != 0) & (samples != 1)).float().mean())


def _entry(name: str, measure: Estimate, real: Estimate, exact: float | None) -> Entry:
    return Entry("observables", measure.value, measure.stderr, UNITS.get(name, ""), "statistic", real=real, exact=exact)


def _distributions(generated: Tensor, test: Tensor, truth: HasObservables, chain: Tensor | None) -> Picture:
    """Distributions of energy and magnetisation, and the correlation function, of samples and of the test split."""
    shown = [
        Distribution(name, ALLOWED[name](generated), ALLOWED[name](test))
        for name in truth.observables
        if name in ("energy", "magnetisation")
    ]
    both = None
    if "correlation" in truth.observables:
        both = (correlations(generated, chain), correlations(test))
    return distributions(shown, both)
