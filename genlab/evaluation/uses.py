"""What latent-variable models are used for beside sampling, each measured where the model has the capability.

denoising.py    restoring examples to which noise was added
codes.py        dimensionality reduction: what the codes keep
anomaly.py      anomaly detection: examples unlike the training data
here            compression: how small a code is, beside what it loses

A code of q floating-point numbers takes 32 q bits, one of P symbols out of K P log2 K. One that is drawn from q(h|x) and coded
with the prior p(h) takes no more than KL(q(h|x) || p(h)) of them on average, by bits-back coding (Hinton & van Camp 1993;
Townsend, Bird & Barber 2019); discrete codes take what their entropy code says.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.evaluation.anomaly import Anomalies, detect
from genlab.evaluation.code_quality import judge_codes
from genlab.evaluation.denoising import denoise, noise_of
from genlab.evaluation.diagnoses import Diagnosis
from genlab.evaluation.entries import Entries, Entry, entry
from genlab.evaluation.held_out import HeldOut, held_out_batches
from genlab.metrics.estimate import Estimate, mean
from genlab.models.abilities import DecodesByClass, Encodes, HasRate, Reconstructs
from genlab.models.base import Model
from genlab.numerics.rng import seeded
from genlab.plots.images import Picture

BITS_OF_A_NUMBER = 32


@dataclass
class Uses:
    entries: Entries = field(default_factory=dict)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)


def put_to_use(
    model: Model,
    dataset: Dataset,
    held_out: HeldOut,
    seed: int,
    *,
    noise: float | None,
    anomalies: Anomalies | None,
    k: int,
) -> Uses:
    """All uses that `model` (in evaluation mode) allows, on the test split; `held_out` is what was measured there already.

    `noise` is the level (None for the usual one), `k` the number of draws for the bound of anomalies. Raises GenlabError for
    a level that makes no sense.
    """
    found = Uses()
    added = noise_of(dataset.spec, noise)
    if isinstance(model, Reconstructs) and added is not None:
        entries, pictures = denoise(model, dataset, added, seed)
        found.entries |= entries
        found.pictures |= pictures
        found.facts["denoising"] = {"noise": added.level, "kind": str(added)}
    if isinstance(model, Encodes) and held_out.codes is not None:
        found.entries |= compression(model, dataset, held_out, seed)
        found.entries |= judge_codes(model, dataset, seed)
    if anomalies is not None:
        detection = detect(model, dataset, anomalies, seed, k)
        found.entries |= detection.entries
        found.pictures |= detection.pictures
        found.diagnoses += detection.diagnoses
        found.facts["anomaly"] = detection.facts
    return found


def compression(model: Model, dataset: Dataset, held_out: HeldOut, seed: int) -> Entries:
    """Numbers of a code, bits of an example over bits of a code, and where it is known the rate beside the distortion."""
    assert held_out.codes is not None
    numbers = held_out.codes[0].numel()
    stored = bits_of(dataset) * dataset.spec.dim
    rate = _rate(model, dataset, held_out, seed)
    entries: Entries = {}
    if isinstance(model, HasRate):
        entries["compression_ratio"] = Entry("compression", stored / model.code_bits(), None, "ratio", "cost")
    else:
        entries["code_numbers"] = Entry("compression", numbers, None, "numbers", "cost")
        plain = stored / (numbers * BITS_OF_A_NUMBER)
        entries["compression_ratio"] = Entry("compression", plain, None, "ratio", "cost")
    if rate is not None:
        ratio = stored / max(rate.value, 1e-12)
        entries["rate"] = entry("compression", rate, "bits/example")
        size = Estimate(ratio, ratio * rate.stderr / max(rate.value, 1e-12))
        entries["compression_ratio_rate"] = entry("compression", size, "ratio")
    if "reconstruction_mse" in held_out.entries:
        lost = held_out.entries["reconstruction_mse"]
        assert lost.stderr is not None, "a mean has an error"
        dim = dataset.spec.dim
        base = None if lost.baseline is None else Estimate(lost.baseline.value / dim, lost.baseline.stderr / dim)
        distortion = Estimate(lost.value / dim, lost.stderr / dim)
        entries["distortion"] = entry("compression", distortion, "squared error/component", baseline=base)
    return entries


def bits_of(dataset: Dataset) -> int:
    """Bits in which one component of an example is stored: 1 if it is binary, 8 for grey levels, 32 for a number."""
    if dataset.spec.support == "binary":
        return 1
    return BITS_OF_A_NUMBER if dataset.represent.levels is None else 8


@torch.no_grad()
def _rate(model: Model, dataset: Dataset, held_out: HeldOut, seed: int) -> Estimate | None:
    """Mean length of a code in bits: of a discrete one, or of one with bits back; None where neither is known."""
    if isinstance(model, HasRate):
        with seeded(seed, "rate", device=model.device):
            parts: list[Tensor] = [model.rate_bits(b.x).cpu() for b in held_out_batches(dataset, model, seed)]
        return mean(torch.cat(parts))
    known = held_out.entries.get("kl")
    if known is None or known.stderr is None:
        return None
    # A conditional model needs the class to decode: log2 of their number, where nothing is known of it.
    told = model.num_classes if isinstance(model, DecodesByClass) else 0
    return Estimate((known.value + math.log(max(told, 1))) / math.log(2), known.stderr / math.log(2))
