"""Named diagnoses: what has gone wrong with a model, and the evidence in numbers. Their remedies are found in remedies.py.

Each rule is a function of what was measured. `genlab evaluate` asks them all; the trainer asks those that it can afford while a
model trains and prints a warning. A family takes part by logging scalars under the names that the rules know:

    d_real, d_fake                       mean D(x) on data and on samples, for a discriminator with values in [0, 1]
    r_hat, autocorrelation_time          of chains started apart, and of their slowest observable, in sweeps
    energy_data, energy_samples          mean energies
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.spec import DataSpec
from genlab.data.subsets import places
from genlab.inference.shown_examples import held_out
from genlab.metrics.estimate import Estimate
from genlab.metrics.kernels import median_distance
from genlab.metrics.memorisation import Memorisation
from genlab.models.abilities import Encodes, HasLogWeights, Reconstructs
from genlab.models.base import Model, evaluation_mode

INACTIVE_VARIANCE = 0.01  # of the mean of q(h_j|x) over x, below which a latent unit is inactive (Burda et al. 2016)
FEW_PAIRS = 500
RARE, EXCLUDED, CHANCE = 0.05, 0.5, 0.01
"""A class is missing where its frequency is below the share RARE of that in the data, and the share EXCLUDED is ruled out: so few
samples of any one of the classes would then come with a probability below CHANCE."""
DIVERGED = 1e8  # a loss of that size is that of no model of these data
ASLEEP = 0.05  # nats of KL below which a latent level is asleep
WON = 0.9  # share of right answers, of data and samples in equal parts, from which a discriminator has won

Name = Literal[
    "posterior collapse",
    "dead code units",
    "a latent level is asleep",
    "mode collapse",
    "low coverage",
    "missing classes",
    "samples far from the data",
    "memorisation",
    "range of the decoder",
    "range of the samples",
    "non-finite values",
    "log Z is uncertain",
    "the discriminator has won",
    "divergence",
    "chains do not mix",
    "energies run away",
]


@dataclass(frozen=True)
class Diagnosis:
    name: Name
    evidence: str
    remedy: str = ""
    """Empty until it is known which model has the fault, and how it was trained."""

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}" + (f"; {self.remedy}" if self.remedy else "")

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def posterior_collapse(codes: Tensor, has_prior: bool) -> Diagnosis | None:
    """Latent units that carry nothing of x, from codes (n, latent_dim) of held-out data.

    `has_prior`: codes are means of q(h|x) under the prior N(0, I), which sets the scale; otherwise they have only their own.
    """
    variance = codes.double().var(0)
    threshold = INACTIVE_VARIANCE if has_prior else 1e-4 * float(variance.max())
    inactive = int((variance <= threshold).sum())
    if 2 * inactive < len(variance):
        return None
    what = "the mean of q(h_j|x) hardly moves with x" if has_prior else "the code h_j is the same for all x"
    return Diagnosis(
        "posterior collapse" if has_prior else "dead code units",
        f"{inactive} of {len(variance)} latent units are inactive ({what}: variance below {threshold:.2g})",
    )


def lack_of_variety(samples: Tensor, data: Tensor) -> Diagnosis | None:
    """Samples (n, ...) that are nearly all the same, by their median distance beside that of as many data."""
    few = min(len(samples), len(data), FEW_PAIRS)
    if few < 2:
        return None
    of_samples, of_data = (median_distance(x[places(len(x), few)].flatten(1)) for x in (samples, data))
    if of_data == 0 or of_samples >= 0.1 * of_data:
        return None
    return Diagnosis(
        "mode collapse", f"two samples differ by {of_samples:.3g} (median distance) and two data by {of_data:.3g}"
    )


def missing_classes(generated: Tensor, real: Tensor, n: int, names: Sequence[str] = ()) -> Diagnosis | None:
    """Classes of which n samples hold next to none, from their shares in samples and in data, (classes,) each.

    `names` are those of the classes.
    """
    from scipy.special import bdtr  # a tenth of a second

    seen = (generated * n).round()
    present = int((real > 0).sum())
    chance = torch.from_numpy(bdtr(seen.double().numpy(), n, EXCLUDED * real.double().numpy()))
    missing = (generated < RARE * real) & (chance < CHANCE / max(1, present))
    if not bool(missing.any()):
        return None
    lost = ", ".join(
        f"{names[k] if names else k} ({int(seen[k]):,} instead of about {float(n * real[k]):,.0f})"
        for k in missing.nonzero().flatten().tolist()[:5]
    )
    more = int(missing.sum()) - 5
    lost += f" and {more} more" if more > 0 else ""
    return Diagnosis("missing classes", f"of {n:,} samples hardly any are of class {lost}")


def poor_coverage(measured: Mapping[str, Estimate], floor: Mapping[str, Estimate]) -> Diagnosis | None:
    """Coverage far below what real data have: the samples show a part of the data only, or lie apart from all of them.

    `measured` and `floor` (of real data) hold precision and coverage.
    """

    def low(name: str) -> bool:
        return measured[name].value + 3 * measured[name].stderr < 0.1 * floor[name].value

    if not low("coverage"):
        return None
    shown = f"coverage is {measured['coverage'].value:.3f} where real data have {floor['coverage'].value:.3f}"
    if low("precision"):
        precision = f"precision is {measured['precision'].value:.3f} where they have {floor['precision'].value:.3f}"
        return Diagnosis("samples far from the data", f"{shown}, and {precision}")
    return Diagnosis("low coverage", f"{shown}: most kinds of examples are never generated")


def memorisation(found: Memorisation, real_copies: Estimate) -> Diagnosis | None:
    """Samples that lie nearer to training examples than chance allows, or repeat more of them than real ones do, as spins may."""
    excess = found.nearest_is_train.value - found.expected
    copied = found.copies.value - real_copies.value > 0.05
    if not copied and (excess < 5 * found.nearest_is_train.stderr or excess < 0.3 * (1 - found.expected)):
        return None
    evidence = (
        f"the nearest neighbour is a training example for {100 * found.nearest_is_train.value:.1f} % of the samples "
        f"({100 * found.expected:.1f} % for a model that memorised nothing), at a distance of {found.train_distance.value:.3g} "
        f"on average against {found.test_distance.value:.3g} to the nearest test example"
    )
    return Diagnosis("memorisation", evidence)


def range_misfit(
    values: Tensor, data: Tensor, spec: DataSpec, what: Literal["reconstructions", "samples"]
) -> Diagnosis | None:
    """Reconstructions or samples whose values do not reach those of the data, or leave their range."""
    span = spec.high - spec.low
    if not span > 0:
        return None
    quantiles = torch.tensor([0.001, 0.999], dtype=torch.float64)
    low, high = _quantiles(values, quantiles)
    true_low, true_high = _quantiles(data, quantiles)
    width, true_width = high - low, true_high - true_low
    if width > 0.5 * true_width and low > spec.low - 0.5 * span and high < spec.high + 0.5 * span:
        return None
    return Diagnosis(
        "range of the decoder" if what == "reconstructions" else "range of the samples",
        f"99.8 % of the values of the {what} lie in [{low:.3g}, {high:.3g}], and of the data in "
        f"[{true_low:.3g}, {true_high:.3g}]",
    )


def _quantiles(x: Tensor, q: Tensor) -> tuple[float, float]:
    flat = x.detach().flatten().cpu().double()
    flat = flat[:: max(1, len(flat) // 1_000_000)]
    low, high = torch.quantile(flat, q).tolist()
    return low, high


def not_finite(x: Tensor, what: str) -> Diagnosis | None:
    """Values that are no numbers, and where the first of them is."""
    bad = ~x.isfinite()
    if not bool(bad.any()):
        return None
    first = tuple(bad.nonzero()[0].tolist())
    return Diagnosis(
        "non-finite values",
        f"{int(bad.sum()):,} of {x.numel():,} values of {what} are not finite, the first at index {first}",
    )


def few_chains_count(name: str, effective: float, chains: int) -> Diagnosis | None:
    """An annealed estimate of log Z that rests on a few of its chains."""
    if effective >= max(3.0, 0.05 * chains):
        return None
    return Diagnosis(
        "log Z is uncertain",
        f"{effective:.1f} of {chains} chains carry the weight of the estimate {name}, whose standard error is then too small",
    )


def annealing_disagrees(forward: Mapping[str, float], reverse: Mapping[str, float], sweeps: int) -> Diagnosis | None:
    """Two estimates of log Z, as facts of likelihoods, that are more than three standard errors apart."""
    gap = reverse["log_z"] - forward["log_z"]
    error = math.hypot(forward["log_z_stderr"], reverse["log_z_stderr"])
    if abs(gap) <= 3 * error:
        return None
    apart = f"log Z by annealing in reverse is {abs(gap):.2f} nats ({abs(gap) / error:.1f} standard errors)"
    if gap > 0:
        return Diagnosis("log Z is uncertain", f"{apart} above that forwards, and lies between the two")
    return Diagnosis(
        "log Z is uncertain",
        f"{apart} below that forwards, which draws of the model as starts rule out: training examples after {sweeps:,} sweeps "
        "are none (ais.sweeps)",
    )


@torch.no_grad()
def of_pictures(model: Model, dataset: Dataset, seed: int, samples: Tensor | None) -> list[Diagnosis]:
    """What can be told cheaply from the samples that were drawn for the log and a few test examples."""
    found: list[Diagnosis | None] = []
    x = held_out(dataset, FEW_PAIRS, seed, model.device).x
    if samples is not None:
        bad = not_finite(samples, "the samples")
        found += [bad] if bad else [lack_of_variety(samples.to(x.device), x)]
    with evaluation_mode(model):
        if isinstance(model, Encodes):
            found.append(posterior_collapse(model.encode(x), isinstance(model, HasLogWeights)))
        if isinstance(model, Reconstructs):
            found.append(range_misfit(model.reconstruct(x), x, dataset.spec, "reconstructions"))
    return [diagnosis for diagnosis in found if diagnosis is not None]


def from_scalars(values: Mapping[str, float]) -> list[Diagnosis]:
    """What the scalars of one record tell; keys as logged, with or without their prefix (train/d_real)."""
    seen = {name.rpartition("/")[2] if not name.startswith("optimizer/") else name: v for name, v in values.items()}
    found = []
    if (seen.get("d_real", 0.5) + 1 - seen.get("d_fake", 0.5)) / 2 >= WON:
        norms = [v for k, v in seen.items() if k.startswith("optimizer/generator") and k.endswith("gradient_norm")]
        gradient = f", and the generator's gradient has the norm {norms[0]:.2g}" if norms else ""
        found.append(
            Diagnosis(
                "the discriminator has won",
                f"D(x) = {seen['d_real']:.4f} on data and D(G(h)) = {seen['d_fake']:.4f} on samples{gradient}",
            )
        )
    for name in ("loss", "value", "generator_loss"):
        if abs(seen.get(name, 0.0)) > DIVERGED:
            found.append(Diagnosis("divergence", f"{name} = {seen[name]:.3g}"))
    asleep = [
        name.removeprefix("kl_") for name, value in seen.items() if re.fullmatch(r"kl_\d+", name) and value < ASLEEP
    ]
    if asleep:
        levels = ", ".join(sorted(asleep, key=int))
        found.append(
            Diagnosis(
                "a latent level is asleep",
                f"the KL term of level {levels} is below {ASLEEP} nats: it says nothing of x",
            )
        )
    if seen.get("r_hat", 1.0) > 1.1:
        found.append(
            Diagnosis(
                "chains do not mix",
                f"R-hat = {seen['r_hat']:.3f} between chains that started apart (1 for chains that forgot where)",
            )
        )
    energies = [seen[name] for name in ("energy_data", "energy_samples") if name in seen]
    gap = abs(energies[0] - energies[1]) if len(energies) == 2 else 0.0
    if any(abs(e) > 1e5 for e in energies) or gap > 1e4:
        shown = ", ".join(f"{e:.3g}" for e in energies)
        found.append(Diagnosis("energies run away", f"mean energies of data and samples are {shown}"))
    return found
