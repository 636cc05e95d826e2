"""The contract between a model and the trainer, over every file in conf/model."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from genlab.benchmark.training_steps import TrainingSteps
from genlab.data.batches import Batch, Batches, in_order
from genlab.errors import GenlabError
from genlab.experiment.opening import open_run
from genlab.inference.portfolio import fixed_samples, portfolio, training_pictures
from genlab.inference.sampling import BLOCK, draw
from genlab.models.abilities import Reconstructs
from genlab.models.base import GenerativeModel, Metrics, Model
from genlab.networks.discriminators import GaussianNoise
from genlab.numerics import rng
from genlab.numerics.work import count_work
from genlab.plots.captions import caption
from genlab.tracking.run_folder import RunFolder
from genlab.training.devices import Device, has_bf16_products
from genlab.training.trainer import Trainer
from tests.helpers.support import (
    BRISK,
    KINDS,
    MODELS,
    configure,
    experiment_of,
    make_model,
    records,
    small_data,
    start,
    state_of,
)

CPU = Device(name="cpu", precision="fp32", compile=False, threads=1, processes=1)


def build(name: str, kind: str) -> Model:
    return make_model(configure(f"model={name}"), small_data(kind).spec)


@cache
def accepts(name: str, kind: str) -> bool:
    try:
        build(name, kind)
    except GenlabError:
        return False
    return True


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_models_what_it_supports_and_refuses_the_rest_with_a_remedy(name: str, kind: str) -> None:
    dataset = small_data(kind)
    family = build_class(name)
    if dataset.spec.support in family.supports and (dataset.spec.num_classes or not family.needs_labels):
        model = build(name, kind)
        stream = Batches(
            dataset.train, dataset.represent, batch_size=16, examples=48, seed=0, device=torch.device("cpu")
        )
        for metrics in model.train_loop(stream):
            lasting = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
            for key, value in metrics.items():
                assert value.data_ptr() not in lasting, f"{key} will be another one when it is logged"
                assert value.shape == (), f"{key} is not a scalar"
                assert value.isfinite(), f"{key} is {value}"
                assert not value.requires_grad, f"{key} is not detached"
        for parameter in model.parameters():
            assert parameter.isfinite().all()
    else:
        with pytest.raises(GenlabError, match=r"(cannot model|needs labels).*; (set|use|add|choose) "):
            build(name, kind)


class Spins(Model):
    """A family for binary data only, as a Boltzmann machine is."""

    supports = frozenset({"binary"})

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        yield from ()

    def evaluate(self, batch: Batch) -> Metrics:
        return {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_family_that_cannot_model_a_support_says_so_and_names_a_remedy(kind: str) -> None:
    data = small_data(kind).spec
    if data.support == "binary":
        assert Spins(data, None).data is data
    else:
        with pytest.raises(
            GenlabError, match=rf"model=spins cannot model {data.support} data .*only binary; .*model=vae"
        ):
            Spins(data, None)


def build_class(name: str) -> type[Model]:
    from genlab.config.targets import locate

    found = locate(configure(f"model={name}")["model"]["_target_"], "model")
    assert isinstance(found, type)
    assert issubclass(found, Model)
    return found


def distance_of_means(model: Model, loop: Trainer) -> float:
    """Squared distance between the means of samples and of test examples, per component."""
    assert isinstance(model, GenerativeModel)
    x = next(in_order(loop.dataset.test, loop.dataset.represent, batch_size=300, device=loop.where)).x
    return float((draw(model, 300, 0).x.mean(0) - x.mean(0)).square().mean())


QUICK = ("classifier", "ebm", "hvae", "sgan")
"""Families that learn much from few examples, each of which takes them long."""


@pytest.mark.parametrize("name", MODELS)
def test_training_decreases_the_loss(name: str, tmp_path: Path) -> None:
    examples = configure(f"model={name}")["preferred"]["examples"] // (40 if name in QUICK else 15)
    seldom = [f"train.{key}={examples}" for key in ("examples", "eval_every", "sample_every", "checkpoint_every")]
    loop = start(tmp_path, configure(f"model={name}", *BRISK.get(name, ()), *seldom, "train.log_every=4000"))
    if "loss" not in loop.evaluate(loop.dataset.test):  # players of a game have no common one: do samples come nearer?
        apart = distance_of_means(loop.model, loop)
        loop.fit()
        assert distance_of_means(loop.model, loop) < 0.2 * apart
        return
    before = loop.evaluate(loop.dataset.test)["loss"]
    loop.fit()
    after = loop.evaluate(loop.dataset.test)["loss"]
    error = (before[1] ** 2 + after[1] ** 2) ** 0.5
    assert after[0] < before[0] - 10 * error
    losses = [record["train/loss"] for record in records(tmp_path) if "train/loss" in record]
    if losses:  # a Boltzmann machine follows a gradient and never computes what it is the gradient of
        assert losses[-1] < losses[0]
    assert records(tmp_path)[-1]["test/loss"] == after[0], "the last record is the final evaluation"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_gives_one_finite_value_an_example(name: str, kind: str) -> None:
    if not accepts(name, kind):
        pytest.skip(f"{name} refuses {kind} data, which another test checks")
    dataset, model = small_data(kind), build(name, kind)
    batch = next(in_order(dataset.test, dataset.represent, batch_size=7, device=torch.device("cpu")))
    measures = model.evaluate(batch)
    for key, value in measures.items():
        assert value.shape == (7,), key
        assert value.isfinite().all(), key


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_samples_and_reconstructions_have_shape_and_range(name: str, kind: str) -> None:
    if not accepts(name, kind):
        pytest.skip(f"{name} refuses {kind} data, which another test checks")
    dataset, model = small_data(kind), build(name, kind)
    made = []
    if isinstance(model, GenerativeModel):
        made.append(model.sample(5))
    if isinstance(model, Reconstructs):
        x = next(in_order(dataset.test, dataset.represent, batch_size=5, device=torch.device("cpu"))).x
        made.append(model.reconstruct(x))
    for x in made:
        assert x.shape == (5, *dataset.spec.shape)
        assert x.dtype == torch.float32
        assert x.isfinite().all()
        if dataset.spec.support != "real":
            assert x.min() >= 0
            assert x.max() <= 1


@pytest.mark.parametrize("name", MODELS)
def test_sample_i_does_not_depend_on_how_many_are_drawn(name: str) -> None:
    model = build(name, "grey" if accepts(name, "grey") else "binary")
    if not isinstance(model, GenerativeModel):
        pytest.skip(f"{name} is no generative model")
    many = draw(model, 2 * BLOCK + 3, seed=5).x
    assert len(many) == 2 * BLOCK + 3
    for n in (1, 10, BLOCK, BLOCK + 1):
        assert torch.equal(draw(model, n, seed=5).x, many[:n])
    assert not torch.equal(draw(model, 3, seed=6).x, many[:3])
    assert not torch.equal(many[:3], many[BLOCK : BLOCK + 3])


@pytest.mark.parametrize("name", MODELS)
def test_looking_at_a_model_leaves_its_training_stream_alone(name: str, tmp_path: Path) -> None:
    loop = start(tmp_path, configure(f"model={name}", "train.examples=1000"))
    before = rng.get_state(loop.where)["cpu"]
    shown = training_pictures(loop.model, loop.dataset, 3, fixed_samples(loop.model, 3))
    assert shown
    assert [picture for picture in shown if not caption(picture)] == []
    loop.evaluate(loop.dataset.test)
    assert torch.equal(before, rng.get_state(loop.where)["cpu"])
    assert loop.model.training


@pytest.mark.parametrize("name", MODELS)
def test_a_run_that_was_cut_off_and_resumed_ends_bit_identical(name: str, tmp_path: Path) -> None:
    # Cadences that do not divide each other, so that a checkpoint falls between two records.
    overrides = (
        f"model={name}",
        *BRISK.get(name, ()),
        "train.examples=5000",
        "train.log_every=950",
        "train.eval_every=1300",
        "train.checkpoint_every=610",
        "train.sample_every=2100",
        "optimizer.warmup=0.1",
    )
    whole = start(tmp_path / "whole", configure(*overrides))
    whole.fit()
    run = tmp_path / "cut"
    for stop in (400, 1700, 3600):  # the first before any checkpoint
        loop = start(run, configure(*overrides))
        with pytest.raises(PowerCut):
            cut_off(loop, stop)
    loop = start(run, configure(*overrides))
    assert loop.batches.seen > 0
    loop.fit()
    expected, found = state_of(whole.model), state_of(loop.model)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key
    assert records(tmp_path / "whole") == records(run)


class PowerCut(Exception):
    pass


def cut_off(loop: object, seen: int) -> None:
    """Fit until `seen` examples and vanish there, leaving the folder as it is at that moment."""
    from genlab.training.trainer import Trainer

    assert isinstance(loop, Trainer)
    between = loop.between_updates

    def vanish(before: int, after: int) -> None:
        between(before, after)
        if after >= seen:
            raise PowerCut

    loop.between_updates = vanish  # type: ignore[method-assign, assignment]
    loop.fit()


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_opens_without_its_data(name: str, tmp_path: Path) -> None:
    loop = start(tmp_path, configure(f"model={name}", *BRISK.get(name, ()), "train.examples=2000"))
    loop.fit()
    model = open_run(RunFolder(tmp_path), CPU, "last").model
    for key, value in loop.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key
    shown, arrays = portfolio(model, None, n=12, seed=0)
    assert "reconstructions" not in shown
    if isinstance(model, GenerativeModel):
        assert arrays["samples"].shape == (12, *model.data.shape)


@pytest.mark.parametrize("name", MODELS)
def test_its_arithmetic_can_be_counted(name: str) -> None:
    dataset = small_data("grey" if accepts(name, "grey") else "binary")
    config = configure(f"model={name}", "train.examples=64", "train.batch_size=8")
    experiment = experiment_of(config, dataset)
    model = experiment.model
    assert TrainingSteps(experiment).flops() >= 0
    if isinstance(model, GenerativeModel):
        assert count_work(lambda: draw(model, BLOCK, 0).x).flops > 0


@pytest.mark.skipif(not has_bf16_products(), reason="without instructions for bf16 this takes many minutes")
@pytest.mark.parametrize(
    "name", [pytest.param(m, marks=() if m in ("vae", "gan") else pytest.mark.slow) for m in MODELS]
)
def test_precision_bf16_trains_and_samples(name: str, tmp_path: Path) -> None:
    loop = start(
        tmp_path, configure(f"model={name}", *BRISK.get(name, ()), "train.examples=4000", "device.precision=bf16")
    )
    before = loop.evaluate(loop.dataset.test).get("loss")
    after = loop.fit()
    assert before is None or after["test/loss"][0] < before[0]
    assert all(value == value for value, _ in after.values())
    assert all(p.dtype == torch.float32 for p in loop.model.parameters())
    if isinstance(loop.model, GenerativeModel):
        with loop.device.autocast():
            x = draw(loop.model.eval(), 8, 0).x
        assert x.dtype == torch.float32
        assert bool(x.isfinite().all())


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_compiled_networks_train_to_the_same_loss(name: str, tmp_path: Path) -> None:
    results = []
    for compiled in ("false", "true"):
        loop = start(tmp_path / compiled, configure(f"model={name}", "train.examples=5000"))
        if compiled == "true":
            Device(name="cpu", precision="fp32", compile=True, threads=1, processes=1).place(loop.model)
        found = loop.fit()
        results.append(found["test/loss"][0] if "test/loss" in found else distance_of_means(loop.model, loop))
    # Compiled dropout draws its own random numbers.
    drops = any(
        (isinstance(part, torch.nn.Dropout) and part.p > 0) or (isinstance(part, GaussianNoise) and part.sigma > 0)
        for part in loop.model.modules()
    )
    assert results[1] == pytest.approx(results[0], rel=0.3 if drops else 1e-3)
