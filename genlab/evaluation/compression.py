"""Compression: how small a code is, beside the error of what is decoded from it.

A code of q floating-point numbers takes 32 q bits, one of P symbols out of K takes P log2 K. A code that is drawn from q(h|x) and
coded with the prior p(h) takes no more than KL(q(h|x) || p(h)) of them on average, by bits-back coding (Hinton & van Camp 1993;
Townsend, Bird & Barber 2019). Discrete codes take what their entropy code says.
"""

import math

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.evaluation.entries import Entry, entry
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.metrics.estimate import Estimate, mean
from genlab.models.abilities import DecodesByClass, HasRate
from genlab.numerics.rng import seeded

BITS_OF_A_NUMBER = 32


def compression(context: EvaluationContext, findings: Findings) -> None:
    """Numbers of a code, bits of an example over bits of a code, and where it is known the rate beside the distortion."""
    if findings.codes is None:
        return
    model, dataset, entries = context.model, context.dataset, findings.entries
    numbers = findings.codes[0].numel()
    stored = bits_of(dataset) * dataset.spec.dim
    rate = _rate(context, findings)
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
    if "reconstruction_mse" in entries:
        error = entries["reconstruction_mse"]
        assert error.stderr is not None, "a mean has an error"
        dim = dataset.spec.dim
        base = None if error.baseline is None else Estimate(error.baseline.value / dim, error.baseline.stderr / dim)
        distortion = Estimate(error.value / dim, error.stderr / dim)
        entries["distortion"] = entry("compression", distortion, "squared error/component", baseline=base)


def bits_of(dataset: Dataset) -> int:
    """Bits in which one component of an example is stored: 1 if it is binary, 8 for grey levels, 32 for a number."""
    if dataset.spec.support == "binary":
        return 1
    return BITS_OF_A_NUMBER if dataset.represent.levels is None else 8


@torch.no_grad()
def _rate(context: EvaluationContext, findings: Findings) -> Estimate | None:
    """Mean length of a code in bits: of a discrete one, or of one with bits back; None where neither is known."""
    model = context.model
    if isinstance(model, HasRate):
        with seeded(context.settings.seed, "rate", device=model.device):
            parts: list[Tensor] = [model.rate_bits(batch.x).cpu() for batch in context.test_batches]
        return mean(torch.cat(parts))
    kl = findings.entries.get("kl")
    if kl is None or kl.stderr is None:
        return None
    # A conditional model needs the class to decode: log2 num_classes bits more, where all classes are equally probable.
    num_classes = model.num_classes if isinstance(model, DecodesByClass) else 0
    return Estimate((kl.value + math.log(max(num_classes, 1))) / math.log(2), kl.stderr / math.log(2))
