"""Few labels, and classifiers that start from what a run without labels has learned."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.data.batches import in_order
from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.data.labels import UNLABELLED, keep_labels
from genlab.data.sources.digits import digits
from genlab.data.splits import prepare
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.experiment.opening import open_run
from genlab.experiment.starting import copy_start, describe_start
from genlab.models.base import Model
from genlab.models.boltzmann.machine import BoltzmannMachine
from genlab.models.discriminative.classifier import Classifier
from genlab.networks.trunk import Trunk, trunk_of
from genlab.report.find import find_runs
from genlab.report.rows import Cell, Row, make_rows
from genlab.report.sweeps import make_curves
from genlab.tracking.run_folder import RunFolder
from genlab.training.devices import Device
from genlab.training.trainer import Trainer
from tests.helpers.processes import assert_refused, call
from tests.helpers.support import (
    configure,
    experiment_of,
    make_dataset,
    make_model,
    records,
    small_data,
    start,
    state_of,
)
from tests.models.test_contract import PowerCut, cut_off

CPU = Device(name="cpu", precision="fp32", compile=False, threads=1, processes=1)
SHORT = "train.examples=2000"
SELDOM = ["train.eval_every=2000", "train.sample_every=2000", "train.checkpoint_every=2000"]
STARTS = {
    "vae": ["model=vae", "model.latent_dim=4", "model.hidden=[40]"],
    "conv": ["model=vae", "model.latent_dim=4", "model.network=conv", "model.hidden=[8,16]"],
    "conditional_vae": ["model=vae", "model.hidden=[40]", "model.conditional=true"],
    "ae": ["model=ae", "dataset.binarize=dynamic"],
    "rbm": ["model=rbm", "model.hidden=50"],
    "conditional": ["model=rbm", "model.hidden=50", "model.conditional=true"],
    "gaussian_rbm": ["model=gaussian_rbm", "model.hidden=50"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run of each family that lends features."""
    folder = tmp_path_factory.mktemp("runs")
    for name, overrides in STARTS.items():
        start(folder / name, configure(*overrides, SHORT, *SELDOM)).fit()
    start(folder / "classifier", configure("model=classifier", "model.network=ffnn", SHORT, *SELDOM)).fit()
    return folder


def configure_from(run: Path, *overrides: str) -> dict[str, Any]:
    """The configuration of a classifier that starts from `run`, on the same representation of the digits."""
    binarize = "none" if run.name == "gaussian_rbm" else "dynamic"
    given = [f"model.start={run}", f"dataset.binarize={binarize}", "dataset.labelled=100", SHORT, *SELDOM, *overrides]
    experiment = Experiment(configure("model=classifier", *given))
    describe_start(experiment)
    return experiment.config


def untrained(config: dict[str, Any], dataset: Dataset | None = None) -> Classifier:
    experiment = experiment_of(config, dataset)
    copy_start(experiment)
    assert isinstance(experiment.model, Classifier)
    return experiment.model


def trunk_state(model: Model) -> dict[str, Tensor]:
    assert isinstance(model, Classifier)
    return {name: value.clone() for name, value in model.backbone.state_dict().items()}


# -------------------------------------------------------------------------------------------------------- few labels


def few(n: int | None) -> Dataset:
    return prepare(digits(), binarize="none", dequantize=False, validation=0.1, test=0.2, labelled=n)


@pytest.mark.parametrize("n", [10, 57, 100, 999])
def test_labels_are_kept_for_as_many_examples_of_each_class(n: int) -> None:
    whole, data = few(None), few(n)
    assert whole.train.y is not None
    assert data.train.y is not None
    known = data.train.y != UNLABELLED
    assert set(data.train.y[~known].tolist()) == {-1}
    assert torch.equal(data.train.y[known], whole.train.y[known]), "those that are kept are right"
    counts = torch.bincount(data.train.y[known], minlength=10)
    assert int(counts.sum()) == n
    assert int(counts.max() - counts.min()) == (0 if n % 10 == 0 else 1)
    assert len(data.train) == len(whole.train), "examples without a label stay"
    only = data.labelled_only()
    assert only.train.y is not None
    assert only.train.y.tolist() == data.train.y[known].tolist()
    assert torch.equal(only.train.take(torch.arange(n)), data.train.take(known.nonzero().squeeze(1)))
    assert torch.equal(only.spec.mean, whole.spec.mean), "the data are described by all of them"
    for split, other in ((data.test, whole.test), (data.validation, whole.validation)):
        assert split is not None
        assert other is not None
        assert split.y is not None
        assert other.y is not None
        assert torch.equal(split.y, other.y)


def test_fewer_labels_are_among_more_and_do_not_move_with_the_seed() -> None:
    known = []
    for seed, n in enumerate((20, 100, 101, 1000)):
        torch.manual_seed(seed)
        y = few(n).train.y
        assert y is not None
        known.append(set((y != UNLABELLED).nonzero().squeeze(1).tolist()))
    for fewer, more in pairwise(known):
        assert fewer < more
    torch.manual_seed(9)
    y = few(100).train.y
    assert y is not None
    assert set((y != UNLABELLED).nonzero().squeeze(1).tolist()) == known[1]


def test_a_rare_class_gives_all_it_has_and_the_others_share_the_rest() -> None:
    y = torch.tensor([0] * 3 + [1] * 40 + [2] * 40)[torch.randperm(83, generator=torch.Generator().manual_seed(0))]
    kept = keep_labels(y, 43, 0, "test")
    assert torch.bincount(kept[kept != UNLABELLED]).tolist() == [3, 20, 20]
    assert torch.equal(keep_labels(y, 83, 0, "test"), y)


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (9, "dataset.labelled=9: digits has 10 classes; keep one label of each at least"),
        (5000, "dataset.labelled=5000: only 1294 training examples are at hand; keep fewer"),
    ],
)
def test_numbers_of_labels_that_do_not_fit_are_refused(n: int, message: str) -> None:
    with pytest.raises(GenlabError, match=message):
        few(n)


def test_labels_are_not_to_be_had_where_there_are_none() -> None:
    raw = RawData("points", Examples(torch.randn(50, 2), None), None, None, None)
    with pytest.raises(GenlabError, match=r"dataset.labelled=10: points has no labels; set dataset.labelled=null"):
        prepare(raw, binarize="none", dequantize=False, validation=0, test=10, labelled=10)


@pytest.mark.parametrize(
    ("overrides", "seen"),
    [(["model=classifier"], 50), (["model=rbm", "model.conditional=true"], 50), (["model=rbm"], 1294)],
)
def test_a_family_that_needs_classes_sees_no_other_examples(overrides: list[str], seen: int, tmp_path: Path) -> None:
    loop = start(tmp_path, configure(*overrides, "dataset.labelled=50", "train.examples=1500", *SELDOM))
    assert len(loop.batches.data) == seen
    loop.fit()
    assert loop.batches.epoch == 1536 // seen if seen == 50 else 1  # batches of 128 run on across epochs of 50
    assert all(value == value for record in records(tmp_path) for value in record.values())


def test_the_length_of_a_training_on_few_labels_is_counted_in_their_epochs() -> None:
    for labels, examples in ((100, 30_000), (1294, 300_000), (None, 300_000)):
        config = configure("model=classifier", f"dataset.labelled={'null' if labels is None else labels}")
        assert Experiment(config).examples == examples
    config = configure("model=classifier", "dataset.labelled=100", "train.examples=50000")
    assert Experiment(config).examples == 50_000, "what is asked for is done"


def test_a_family_may_ask_for_examples_with_and_without_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classifier, "uses_unlabelled", True)
    data = make_dataset(configure("model=classifier", "dataset.labelled=50"))
    assert data.train.y is not None
    assert len(data.train) == 1294
    assert int((data.train.y == UNLABELLED).sum()) == 1244
    batch = next(in_order(data.train, data.represent, batch_size=200, device=torch.device("cpu")))
    assert batch.y is not None
    assert bool((batch.y == UNLABELLED).any())


# ----------------------------------------------------------------------------------------------- what a start is worth


def hidden_layer(model: Model, x: Tensor) -> Tensor:
    """What the trunk should give, from the parts of the model that lends it."""
    if isinstance(model, BoltzmannMachine):
        v = model.visible(x)
        return torch.sigmoid(model.inputs(v) @ model.theta("W") + model.theta("b"))
    encoder: Any = model.encoder
    return encoder.layers[:-1](x).flatten(1)  # type: ignore[no-any-return]  # data in [0, 1] are seen as they are


@pytest.mark.parametrize("name", [name for name in STARTS if name != "conditional_vae"])
def test_features_before_training_are_those_of_the_run(name: str, runs: Path) -> None:
    config = configure_from(runs / name)
    dataset = make_dataset(config)
    model = untrained(config, dataset).eval()
    lender = open_run(RunFolder(runs / name), CPU, "last").model
    x = next(in_order(dataset.test, dataset.represent, batch_size=50, device=torch.device("cpu"))).x
    found, expected = model.features(x), hidden_layer(lender, x)
    assert found.shape == expected.shape == (50, model.backbone.width)
    assert float(expected.detach().std(0).mean()) > 1e-3, "they tell examples apart"
    if isinstance(lender, BoltzmannMachine):  # the same sums in another order
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        if not lender.num_classes:
            torch.testing.assert_close(found, lender.encode(x), rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["vae", "rbm"])
def test_a_reset_network_has_the_same_shapes_and_parameters_of_its_own(name: str, runs: Path) -> None:
    with_start = trunk_state(untrained(configure_from(runs / name)))
    config = configure_from(runs / name, "model.reset=true")
    model = untrained(config)
    reset = trunk_state(model)
    assert {k: v.shape for k, v in reset.items()} == {k: v.shape for k, v in with_start.items()}
    for key, value in reset.items():
        assert torch.equal(value, with_start[key]) == (key in ("shift", "scale")), key
    weight = reset["layers.1.weight"]
    bound = weight.shape[1] ** -0.5  # torch draws from U(-bound, bound), whatever the family starts from
    assert float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.05)
    assert torch.equal(trunk_state(untrained({**config, "seed": 0}))["layers.1.weight"], weight)
    assert not torch.equal(trunk_state(untrained({**config, "seed": 1}))["layers.1.weight"], weight)


def loop_from(folder: Path, config: dict[str, Any]) -> Trainer:
    """As genlab train starts a run."""
    loop = start(folder, config)
    if not (folder / "checkpoints" / "last.pt").exists():
        copy_start(experiment_of(config, loop.dataset, loop.model))
    return loop


@pytest.mark.parametrize("name", ["conv", "rbm"])
def test_a_frozen_start_stays_as_it_is_to_the_last_bit(name: str, runs: Path, tmp_path: Path) -> None:
    loop = loop_from(tmp_path, configure_from(runs / name, "model.frozen=true"))
    trunk, head = trunk_state(loop.model), loop.model.get_parameter("head.weight").clone()
    loop.fit()
    for key, value in trunk_state(loop.model).items():
        assert torch.equal(value, trunk[key]), key
    assert not torch.equal(head, loop.model.get_parameter("head.weight"))
    tuned = loop_from(tmp_path / "tuned", configure_from(runs / name))
    tuned.fit()
    assert all(not torch.equal(v, trunk[k]) for k, v in trunk_state(tuned.model).items() if k not in ("shift", "scale"))


def test_a_resumed_run_ends_as_an_uninterrupted_one_and_needs_its_start_no_more(runs: Path, tmp_path: Path) -> None:
    lender = tmp_path / "lender"
    shutil.copytree(runs / "vae", lender)
    config = configure_from(lender, "train.examples=4000", "train.checkpoint_every=900")
    whole = loop_from(tmp_path / "whole", config)
    whole.fit()
    with pytest.raises(PowerCut):
        cut_off(loop_from(tmp_path / "cut", config), 2000)
    shutil.rmtree(lender)
    loop = loop_from(tmp_path / "cut", config)
    assert loop.batches.seen > 0
    loop.fit()
    expected, found = state_of(whole.model), state_of(loop.model)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    assert records(tmp_path / "whole") == records(tmp_path / "cut")
    opened = open_run(RunFolder(tmp_path / "cut"), CPU, "best").model
    assert isinstance(opened, Classifier)
    assert isinstance(opened.backbone, Trunk)


def test_linear_encoders_lend_their_code_and_standardised_ones_their_scale() -> None:
    data = small_data("vectors")
    linear = make_model(configure("model=ae", "model.hidden=[]", "model.latent_dim=2"), data.spec)
    x = next(in_order(data.test, data.represent, batch_size=20, device=torch.device("cpu"))).x
    trunk = trunk_of(linear)
    assert trunk is not None
    assert trunk.width == 2
    assert torch.equal(trunk(x), linear.encode(x))  # type: ignore[operator]
    vae = make_model(configure("model=vae"), data.spec)
    trunk = trunk_of(vae)
    assert trunk is not None
    encoder: Any = vae.encoder
    torch.testing.assert_close(trunk(x), encoder.layers[:-1]((x - data.spec.mean) / data.spec.std))


# ------------------------------------------------------------------------------------------------------ the commands


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (lambda runs: ["model.start=nowhere"], ["model.start=nowhere: there is no such folder", "name a run folder"]),
        (lambda runs: [f"model.start={runs}"], ["is not a run folder", "did you mean"]),
        (lambda runs: [f"model.start={runs}/classifier"], ["model=classifier has no encoder", "name a run of"]),
        (
            lambda runs: [f"model.start={runs}/conditional_vae", "dataset.binarize=dynamic"],
            ["its encoder takes the class as an input; start from a run with model.conditional=false"],
        ),
        (
            lambda runs: [f"model.start={runs}/rbm"],
            ["trained on binary data, and dataset=digits is unit; set dataset.binarize=dynamic"],
        ),
        (
            lambda runs: [f"model.start={runs}/gaussian_rbm", "dataset.binarize=dynamic"],
            ["trained on unit data, and dataset=digits is binary; set dataset.binarize=none"],
        ),
        (
            lambda runs: [f"model.start={runs}/vae", "dataset.binarize=dynamic", "model.network=cnn"],
            ["model.network=cnn: model.start=", "leave one of the two out"],
        ),
        (lambda runs: ["model.reset=true"], ["model.reset: there is no run to start from; set model.start=RUN"]),
        (lambda runs: ["model.start=latest"], ["model.start=latest: there is no run to start from"]),
        (lambda runs: ["dataset.labelled=5"], ["dataset.labelled=5", "keep one label of each at least"]),
        (lambda runs: ["dataset.labelled=0"], ["dataset.labelled=0: should be greater than 0"]),
    ],
)
def test_mistakes_are_one_line(
    overrides: Callable[[Path], list[str]],
    words: list[str],
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call(["train", "model=classifier", SHORT, *overrides(runs)], capsys), *words)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing was begun"


def test_examples_of_another_shape_are_refused(runs: Path) -> None:
    with pytest.raises(GenlabError, match=r"was trained on examples of 1x8x8, and dataset=test has 1x9x7; start from"):
        untrained(configure_from(runs / "gaussian_rbm"), small_data("odd"))


def test_a_run_that_stopped_before_its_first_checkpoint_starts_again_from_its_start(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [f"model.start={runs}/rbm", "dataset.binarize=dynamic", "dataset.labelled=100", SHORT, *SELDOM]
    assert call(["train", "model=classifier", *given, "hydra.run.dir=run"], capsys).code == 0
    before = records(Path("run"))
    shutil.rmtree("run/checkpoints")
    Path("run/checkpoints").mkdir()
    RunFolder(Path("run")).note(state="failed")
    assert call(["resume", "run"], capsys).code == 0
    assert records(Path("run")) == before


@pytest.mark.slow
def test_a_sweep_over_labels_and_starts_becomes_curves(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest run that lends features is meant by `latest`, whichever jobs of the sweep came after it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "train" / "vae-digits"
    shutil.copytree(runs / "vae", folder / "first")
    chosen = ["model=classifier", "model.start=latest", "dataset.binarize=dynamic", SHORT, *SELDOM]
    swept = ["model.reset=false,true", "dataset.labelled=10,30,100"]
    assert call(["train", "-m", *chosen, *swept], capsys).code == 0
    (sweep,) = (tmp_path / "outputs" / "train" / "sweep").iterdir()
    found, failures = find_runs([str(sweep)])
    assert len(found) == 6
    assert not failures
    assert {run.config["model"]["start"] for run in found} == {"outputs/train/vae-digits/first"}
    grouped = make_rows(found)
    assert len(grouped.rows) == 6
    assert grouped.rows[0].label == "labelled=10, reset=false"
    assert set(grouped.differences) == {"dataset.labelled", "model.reset"}
    assert call(["compare", str(sweep), "--out", "page"], capsys).code == 0
    assert (tmp_path / "page" / "figures" / "sweep_test_accuracy_dataset_labelled.pdf").stat().st_size > 1000
    assert "accuracy against dataset.labelled, higher is better" in (tmp_path / "page" / "index.html").read_text()
    shutil.rmtree(folder)
    assert call(["evaluate", f"run={found[0].path}"], capsys).code == 0
    assert "accuracy" in json.loads((found[0].path / "metrics.json").read_text())


def test_curves_are_made_of_rows_that_differ_in_the_key_alone() -> None:
    settings = [{"beta": b, "lr": lr, "name": "x"} for b in ("1", "4", "2", "null") for lr in ("0.1", "0.2")]
    rows = [Row(k, "", [], chosen) for k, chosen in enumerate(settings)]
    cells = [(row, Cell(float(k), 0.1, 0.1, 3)) for k, row in enumerate(rows)]
    curves = make_curves(cells, "beta", ["beta", "lr"])
    assert [curve.label for curve in curves] == ["lr=0.1", "lr=0.2"]
    assert [[x for x, _ in curve.points] for curve in curves] == [[1.0, 2.0, 4.0]] * 2
    assert [cell.value for _, cell in curves[0].points] == [0.0, 4.0, 2.0]
    assert make_curves(cells, "lr", ["beta", "lr"]) == [], "two values are no curve"
