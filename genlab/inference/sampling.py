"""Drawing n samples in blocks of fixed size, each with a seed of its own; and the options of a family's sampling.

Sample i lies in block i // size at place i % size, and a block is always drawn whole. So on one kind of device sample i is a
function of the seed and of i, to the last bit, whatever n is. (Products of matrices of other heights may be rounded
differently.) Samples that go on from chains of the training take these in turns, in an order that follows from the seed, so that
each is used equally often.

The options of sampling are the keyword arguments of a family's `sample_loop`. Their annotations are types and ranges, as those
of a constructor are.
"""

import inspect
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from genlab.config.schema import check, family_of, keys_of
from genlab.data.class_choice import numbers_of, written
from genlab.data.dataset import Dataset
from genlab.data.truth import HasObservables
from genlab.errors import GenlabError
from genlab.inference.samples import Samples
from genlab.metrics.estimate import Estimate
from genlab.models.abilities import Conditional
from genlab.models.base import GenerativeModel, Model, evaluation_mode
from genlab.models.contract import check_state
from genlab.models.kept_chains import KeepsChains
from genlab.numerics import rng
from genlab.numerics.work import sparingly
from genlab.tracking.progress import step, tracked

BLOCK = 64
BLOCK_NUMBERS = 2**20  # in a block on an accelerator, which 64 examples leave idle
FEWEST_BLOCKS = 5  # whose times have a spread to speak of
INTERNAL = frozenset({"n", "mean", "chains"})
"""Arguments of sample_loop that are no option: n is set apart, `mean` follows from the data (`sampling_options`), and the chains
from which samples go on are taken in turns."""


def block_size(model: GenerativeModel) -> int:
    """Samples in a block: 64 on a CPU; on an accelerator up to 1024, fewer where an example is large."""
    if model.device.type == "cpu":
        return BLOCK
    return max(BLOCK, min(16 * BLOCK, BLOCK_NUMBERS // model.data.dim // BLOCK * BLOCK))


def draw(
    model: GenerativeModel, n: int, seed: int, *, after_block: Callable[[], None] | None = None, **options: Any
) -> Samples:
    """n samples; `after_block` is called after each block."""
    size = block_size(model)
    x, blocks = torch.empty(0), -(-n // size)
    length = known_length(model, options)
    with step(f"drawing {n:,} samples", None if length is None else blocks * length, "states") as doing:
        for block in range(blocks):
            for state in _chain(model, block, seed, options):
                sample = state
                doing.advance()
            if not block:
                x = torch.empty(
                    n, *sample.shape[1:], dtype=sample.dtype
                )  # at once: parts put together would take twice as much
            x[block * size : (block + 1) * size] = sample[: n - block * size]
            doing.total = doing.done / (block + 1) * blocks
            if after_block is not None:
                after_block()
    return _record(model, x, seed, options)


def draw_fewer(model: GenerativeModel, n: int, seed: int, **options: Any) -> Samples:
    """n samples in a block of n, where a whole block costs too much: other samples than those of `draw`."""
    chain = _chain(model, 0, seed, options, n)
    for state in tracked(chain, f"drawing {n:,} samples", known_length(model, options), "states"):
        sample = state
    return _record(model, sample.cpu(), seed, options)


def first_states(model: GenerativeModel, size: int, seed: int, seconds: float, most: int, **options: Any) -> int:
    """Draw the first states of the chains of `size` samples, for so many seconds or until there are `most`; returns their number.

    What a whole chain costs follows from that: it has `known_length` states once one was drawn.
    """
    chain, began, states = _chain(model, 0, seed, options, size), time.perf_counter(), 0
    for _ in chain:
        states += 1
        if states >= most or time.perf_counter() - began >= seconds:
            break
    chain.close()
    return states


def _record(model: GenerativeModel, x: Tensor, seed: int, options: dict[str, Any]) -> Samples:
    return Samples(
        x, chains_of_samples(model, len(x), seed, options), labels_of_samples(model, len(x), options.get("labels"))
    )


def timed_draw(model: GenerativeModel, n: int, seed: int, **options: Any) -> tuple[Samples, Estimate]:
    """n samples and the number drawn per second, with its standard error."""
    seconds: list[float] = []
    last = time.perf_counter()

    def lap() -> None:
        nonlocal last
        now = time.perf_counter()
        seconds.append(now - last)
        last = now

    samples = draw(model, n, seed, after_block=lap, **options)
    return samples, rate_of(block_size(model), seconds)


def rate_of(size: int, seconds: list[float]) -> Estimate:
    """Samples per second in blocks of `size` that took so many seconds: of the median block, without the first.

    The first block has work that is done once. The standard error is that of a median, with the spread from the median absolute
    deviation, so that a block that waited for another process does not count for more than one; nan below FEWEST_BLOCKS.
    """
    times = torch.tensor(seconds[1:] or seconds, dtype=torch.float64)
    middle = times.quantile(0.5)
    spread = 1.4826 * (times - middle).abs().quantile(0.5)
    relative = float(1.2533 * spread / middle) / len(times) ** 0.5 if len(times) >= FEWEST_BLOCKS else float("nan")
    rate = size / float(middle)
    return Estimate(rate, rate * relative)


def film(model: GenerativeModel, n: int, seed: int, frames: int, **options: Any) -> Tensor:
    """At most `frames` evenly spaced states of the chains of the first n <= BLOCK samples, shape (frames, n, *shape)."""
    chain = tracked(_chain(model, 0, seed, options), "the states of chains", known_length(model, options), "states")
    states = [state[:n].clone() for state in chain]  # of the block only what is shown
    index = torch.linspace(0, len(states) - 1, min(frames, len(states))).round().long()
    return torch.stack([states[i] for i in index.tolist()]).cpu()


def _chain(
    model: GenerativeModel, block: int, seed: int, options: dict[str, Any], size: int | None = None
) -> Generator[Tensor, None, None]:
    """States of the chains of one block, of `size` samples where that is set.

    To be drained or closed: the training's random stream is put back at the end.
    """
    given, states, size = options, 0, size or block_size(model)
    chain = chains_of_samples(model, size, seed, options, first=block * block_size(model))
    options = options | labels_of_block(model, block, options.get("labels"))
    if chain is not None:
        options["chains"] = chain.tolist()
    with evaluation_mode(model), rng.seeded(seed, "sample", block, device=model.device):
        for state in sparingly(model.sample_loop(size, **options)):
            states += 1
            check_state(model, state, size)
            yield state.detach().float()  # of whatever precision the networks are
    _lengths.setdefault(model, {})[str(given)] = states


_lengths: WeakKeyDictionary[GenerativeModel, dict[str, int]] = WeakKeyDictionary()


def known_length(model: GenerativeModel, options: Mapping[str, Any]) -> int | None:
    """States of a chain with these options, where one was drawn before: for those who wait for the next."""
    return _lengths.get(model, {}).get(str(options))


# Classes of samples: a conditional model takes the classes `labels` in turns, by default all of them.


def labels_of_block(model: GenerativeModel, block: int, labels: list[int] | int | None) -> dict[str, list[int]]:
    """The argument `labels` of sample_loop for one block, where the turns of earlier blocks go on; {} without classes."""
    turns = _turns(model, labels)
    first = block * block_size(model) % max(len(turns), 1)
    return {"labels": turns[first:] + turns[:first]} if turns else {}


def labels_of_samples(model: GenerativeModel, n: int, labels: list[int] | int | None) -> Tensor | None:
    """The class from which each of n samples is drawn, int64, (n,); None for a model without classes."""
    turns = _turns(model, labels)
    return torch.tensor(turns)[torch.arange(n) % len(turns)] if turns else None


def _turns(model: GenerativeModel, labels: list[int] | int | None) -> list[int]:
    if labels is None:
        return list(range(model.num_classes)) if isinstance(model, Conditional) else []
    return [labels] if isinstance(labels, int) else list(labels)


# Chains


def chains_of_samples(
    model: GenerativeModel, n: int, seed: int, options: Mapping[str, Any], first: int = 0
) -> Tensor | None:
    """Number of the kept chain from which each of n samples goes on, the first of them being sample `first`: int64, (n,).

    None where every sample begins a chain of its own.
    """
    if not isinstance(model, KeepsChains):
        return None
    kept = model.chains_continued(options.get("sampler"), options.get("labels"))
    if not kept:
        return None
    order = torch.randperm(kept, generator=torch.Generator().manual_seed(rng.derive(seed, "chains")))
    return order[(first + torch.arange(n)) % kept]


# Options


def sampling_options(model: GenerativeModel, dataset: Dataset, options: dict[str, Any]) -> dict[str, Any]:
    """`options`, completed by what follows from the data.

    Data that are binary as they are stored, such as spins, are compared with draws of x; grey images with E[x|h], also where a
    model sees them binarised. A model that is conditional on the temperature draws configurations of a lattice at all
    temperatures in turns.
    """
    found, arguments = dict(options), inspect.signature(model.sample_loop).parameters
    if dataset.spec.support == "binary" and dataset.represent.binarize == "none" and "mean" in arguments:
        found["mean"] = False
    if isinstance(dataset.truth, HasObservables) and "labels" in arguments and "labels" not in options:
        num_classes = getattr(model, "num_classes", 0)
        if num_classes == len(dataset.truth.temperatures) > 1:
            found["labels"] = list(range(num_classes))
    return found


def check_options(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as the family's sample_loop takes them.

    Raises GenlabError for an option that it does not have, and for a value of another type or range.
    """
    schema = keys_of(model.sample_loop) if isinstance(model, GenerativeModel) else {}
    for key, value in options.items():
        if key in INTERNAL or key not in schema:
            family = family_of(type(model).__name__)
            raise GenlabError(f"{key}={value}: model={family} has no such choice; leave {key} out")
    if "labels" in options:
        options = {**options, "labels": _classes(model, options["labels"])}
    if options and isinstance(model, GenerativeModel):
        (checked,) = check({"n": 1, **options}, "", model.sample_loop)
        options = {key: checked[key] for key in options}
        draw_first_state(model, options)
    return dict(options)


def _classes(model: Model, labels: Any) -> Any:
    """Classes by number for classes as the user calls them."""
    words = labels if isinstance(labels, list | tuple) else [labels]
    if (
        not model.data.num_classes
        or not words
        or (model.data.class_names is None and all(isinstance(w, int) for w in words))
    ):
        return labels
    if isinstance(model, Conditional) and not model.num_classes:
        typed = ",".join(map(written, words))
        raise GenlabError(f"labels=[{typed}]: this model has no classes; train with model.conditional=true")
    found = numbers_of(words, model.data.names, "labels", model.data.name)
    return found if isinstance(labels, list | tuple) else found[0]


def draw_first_state(model: GenerativeModel, options: Mapping[str, Any]) -> None:
    """Raises GenlabError for options that do not fit together: a family says so at the first state of a chain.

    This takes no time, while the same error after minutes of other work would be a nuisance.
    """
    with torch.no_grad(), rng.seeded(0, "first state", device=model.device):
        next(model.sample_loop(1, **{**options, **labels_of_block(model, 0, options.get("labels"))}))
