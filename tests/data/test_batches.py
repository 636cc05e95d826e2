"""The stream of batches, the representations, the splits and the specification of the data."""

from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batches, in_order
from genlab.data.dataset import RawData
from genlab.data.examples import Examples
from genlab.data.representation import Representation
from genlab.data.sources.digits import digits
from genlab.data.splits import prepare
from genlab.errors import GenlabError
from tests.helpers.support import tensor

torch.set_num_threads(1)

CPU = torch.device("cpu")
SIGMAS = 5  # a correct program exceeds it once in 1.7 million draws; the seeds below are fixed all the same


def stream(n: int, batch_size: int, examples: int, seed: int, seen: int = 0) -> list[Tensor]:
    data = Examples(torch.arange(float(n))[:, None], torch.arange(n))
    batches = Batches(
        data, Representation(None, "none", False), batch_size=batch_size, examples=examples, seed=seed, device=CPU
    )
    batches.load_state_dict({"seen": seen})
    found: list[Tensor] = []
    for batch in batches:
        assert batch.y is not None
        assert batch.x[:, 0].tolist() == batch.y.tolist()
        assert batch.progress == pytest.approx((seen + len(found) * batch_size) / examples)
        found.append(batch.y)
    return found


@pytest.mark.parametrize(("n", "batch_size"), [(10, 5), (10, 3), (7, 16)])
def test_every_batch_is_full_and_every_epoch_complete(n: int, batch_size: int) -> None:
    batches = stream(n, batch_size, examples=20 * n, seed=1)
    assert {len(batch) for batch in batches} == {batch_size}
    epochs = torch.split(torch.cat(batches)[: 20 * n], n)
    assert all(epoch.sort().values.tolist() == list(range(n)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 10, "each epoch has an order of its own"


def test_the_order_is_a_function_of_seed_and_position() -> None:
    torch.manual_seed(1)
    once = stream(11, 4, 100, seed=5)
    torch.manual_seed(2)
    assert torch.equal(torch.cat(once), torch.cat(stream(11, 4, 100, seed=5)))
    assert torch.equal(torch.cat(once)[:99], torch.cat(stream(11, 3, 99, seed=5)))
    assert not torch.equal(torch.cat(once), torch.cat(stream(11, 4, 100, seed=6)))
    for k in range(len(once)):
        assert torch.equal(torch.cat(once[k:]), torch.cat(stream(11, 4, 100, seed=5, seen=4 * k)))


def test_in_order_is_one_pass() -> None:
    data = Examples(torch.arange(10.0)[:, None], None)
    batches = list(in_order(data, Representation(None, "none", False), batch_size=4, device=CPU))
    assert torch.cat([batch.x for batch in batches])[:, 0].tolist() == list(range(10))


# ----------------------------------------------------------------------------------- representation and specification


def test_dynamic_binarisation_has_the_grey_value_as_mean() -> None:
    torch.manual_seed(0)
    n, grey = 20_000, torch.arange(17) / 16
    x = Representation(17, "dynamic", False)(torch.arange(17, dtype=torch.uint8).expand(n, 17))
    assert torch.unique(x).tolist() == [0, 1]
    error = (x.mean(0) - grey).abs()
    assert bool((error <= SIGMAS * (grey * (1 - grey) / n).sqrt()).all()), "mean of n Bernoulli(g): sd sqrt(g(1-g)/n)"
    again = Representation(17, "dynamic", False)(torch.arange(17, dtype=torch.uint8).expand(n, 17))
    assert not torch.equal(x, again)


def test_threshold_and_grey() -> None:
    v = torch.arange(17, dtype=torch.uint8)
    assert Representation(17, "threshold", False)(v).tolist() == [0.0] * 9 + [1.0] * 8
    assert Representation(17, "none", False)(v).tolist() == [i / 16 for i in range(17)]
    assert Representation(256, "none", False)(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [0, 1]


def test_dequantisation_fills_each_grey_level_uniformly() -> None:
    torch.manual_seed(0)
    n, levels = 20_000, 17
    v = torch.arange(levels, dtype=torch.uint8).expand(n, levels)
    x = Representation(levels, "none", True)(v)
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    within = x * levels - v
    assert -1e-5 < float(within.min()) < 1e-3
    assert 1 - 1e-3 < float(within.max()) < 1 + 1e-5
    assert bool(((within.mean(0) - 0.5).abs() < SIGMAS / (12 * n) ** 0.5).all()), "mean of n U[0,1): sd 1/sqrt(12 n)"


def identified(n: int, test: bool = False) -> RawData:
    """Examples that are known by their label."""
    whole = Examples(torch.arange(n, dtype=torch.uint8).expand(1, 2, 2, n).permute(3, 0, 1, 2), torch.arange(n))
    return RawData("toy", whole, whole.subset(torch.arange(3)) if test else None, levels=256, num_classes=n)


@pytest.mark.parametrize(
    ("validation", "test", "sizes"),
    [(0.1, 0.2, (72, 8, 20)), (5, 7, (88, 5, 7)), (0, 2, (98, 0, 2)), (0.5, 0.5, (25, 25, 50))],
)
def test_splits_are_disjoint_complete_and_the_same_for_every_seed(
    validation: float, test: float, sizes: tuple[int, int, int]
) -> None:
    parts = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        data = prepare(identified(100), binarize="none", dequantize=False, validation=validation, test=test)
        splits = [data.train.y, None if data.validation is None else data.validation.y, data.test.y]
        parts.append([[] if y is None else y.tolist() for y in splits])
        assert data.train.y is not None
        assert tensor(data.train)[:, 0, 0, 0].tolist() == data.train.y.tolist()
    assert parts[0] == parts[1]
    assert tuple(len(part) for part in parts[0]) == sizes
    assert sorted(i for part in parts[0] for i in part) == list(range(100))


def test_an_official_test_split_is_left_alone() -> None:
    data = prepare(identified(20, test=True), binarize="none", dequantize=False, validation=4, test=0.5)
    assert (len(data.train), len(data.test)) == (16, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 20}, "dataset.validation=20: only 18 examples are at hand"),
        ({"test": 0}, "has no test split of its own"),
        ({"test": 20}, "dataset.test=20: only 20"),
        ({"binarize": "dynamic", "dequantize": True}, "dataset.dequantize=true"),
    ],
)
def test_prepare_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    defaults: dict[str, Any] = {"binarize": "none", "dequantize": False, "validation": 2, "test": 2}
    with pytest.raises(GenlabError, match=message):
        prepare(identified(20), **(defaults | options))


@pytest.mark.parametrize(
    ("binarize", "dequantize"), [("none", False), ("none", True), ("dynamic", False), ("threshold", False)]
)
def test_the_specification_has_the_moments_that_models_see(binarize: Any, dequantize: bool) -> None:
    data = prepare(digits(), binarize=binarize, dequantize=dequantize, validation=0, test=0.2)
    support = "unit" if binarize == "none" else "binary"
    assert (data.spec.support, data.spec.shape, data.spec.num_classes) == (support, (1, 8, 8), 10)
    assert data.spec.levels == (17 if binarize == "none" and not dequantize else None)
    torch.manual_seed(0)
    n, repeats = len(data.train), 50
    x = torch.cat([data.represent(tensor(data.train)) for _ in range(repeats)]).double()
    assert data.spec.low <= float(x.min())
    assert data.spec.high >= float(x.max())
    # Given the images, the noise of a pixel has a standard deviation of at most 1/2; its mean over n * repeats draws,
    # and that of its square, stray by SIGMAS times that over the root of their number.
    noise = SIGMAS * 0.5 / (n * repeats) ** 0.5 if binarize == "dynamic" or dequantize else 1e-6
    assert float((x.mean(0) - data.spec.mean).abs().max()) < noise
    assert float((x.square().mean(0) - data.spec.mean.square() - data.spec.std.square()).abs().max()) < 2 * noise


def test_the_specification_of_vectors_and_bits() -> None:
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * 0.01 + 1000
    spec = prepare(
        RawData("points", Examples(x, None), None, None, None), binarize="none", dequantize=False, validation=0, test=2
    ).spec
    assert (spec.support, spec.levels, spec.num_classes, spec.shape) == ("real", None, None, (2,))
    assert spec.std.tolist() == pytest.approx([0.01, 0.01], rel=0.2)
    bits = Examples((torch.rand(500, 4, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8), None)
    spec = prepare(RawData("bits", bits, None, 2, None), binarize="none", dequantize=False, validation=0, test=2).spec
    assert (spec.support, spec.levels) == ("binary", None)
