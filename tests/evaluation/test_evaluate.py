"""genlab evaluate: as a command on real runs, and what it finds of models that are known to be bad."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genlab.data.batches import Batch
from genlab.evaluation.code_maps import project
from genlab.evaluation.evaluation import evaluate
from genlab.evaluation.evaluation_context import Settings
from genlab.evaluation.features import feature_space
from genlab.evaluation.features.feature_network import grey
from genlab.evaluation.represented import represented
from genlab.evaluation.sample_reference import Reference, feature_measures
from genlab.models.base import GenerativeModel
from tests.helpers.evaluations import quality
from tests.helpers.processes import assert_refused, call, info, strict_json, trained
from tests.helpers.support import BRISK, FEW_CHAINS, KINDS, MODELS, configure, make_dataset, make_model, small_data
from tests.models.test_contract import accepts

CPU = torch.device("cpu")
SHORT = ["train.examples=20000", "model.hidden=[64]"]


LONG = ("curves", "channels", "bands")
"""Kinds of data that train a network of features, or take long to draw, and are like others."""


@pytest.fixture(scope="module")
def digits() -> Reference:
    dataset = make_dataset(configure())
    return Reference(dataset, feature_space(dataset, CPU), 300, 0)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("vae"), "model=vae", "train.examples=60000")


def train(folder: Path, *overrides: str) -> Path:
    from genlab.cli import main

    assert main(["train", *overrides, f"hydra.run.dir={folder / 'run'}"]) == 0
    return folder / "run"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def metrics(run: Path) -> dict[str, dict[str, Any]]:
    found = strict_json((run / "metrics.json").read_text())
    assert isinstance(found, dict)
    return found


def details(run: Path) -> dict[str, Any]:
    found = strict_json((run / "evaluation" / "evaluation.json").read_text())
    assert isinstance(found, dict)
    return found


def test_evaluate_writes_numbers_with_errors_pictures_and_tensorboard(
    vae: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(["evaluate", f"run={vae}", "k=20"], capsys)
    assert outcome.code == 0, outcome.err
    found = metrics(vae)
    expected = {"fid", "kid", "mmd", "precision", "recall", "density", "coverage", "class_entropy", "classes_reached"}
    expected |= {"nearest_is_train", "nearest_train_distance", "nearest_test_distance", "reconstruction_mse"}
    expected |= {"log_likelihood_elbo", "log_likelihood_iw_20", "bits_per_dim_iw_20", "parameters", "training_seconds"}
    expected |= {"network_evaluations", "sampling_images_per_s", "peak_memory_mb"}
    assert expected <= set(found)
    for name, value in found.items():
        assert {"value", "stderr", "unit", "kind"} <= set(value), name
        assert isinstance(value["value"], float | int), name
        if value["kind"] != "cost":
            assert value["stderr"] >= 0, name
    assert found["log_likelihood_iw_20"]["kind"] == "lower bound"
    assert found["log_likelihood_elbo"]["value"] < found["log_likelihood_iw_20"]["value"]
    assert found["network_evaluations"]["value"] == 1
    told = details(vae)
    assert found["fid"]["features"] == f"cnn-digits {told['features']['hash']}"
    assert told["n"] == told["test_examples"] == 359
    assert told["features"]["name"] == "cnn-digits"
    assert len(told["features"]["hash"]) == 12
    assert told["representation"].startswith("probability of binary pixels, drawn from the grey values")
    assert [x["kind"] for x in told["likelihoods"]] == ["lower bound", "lower bound"]
    for picture in ("samples", "reconstructions", "neighbours", "classes", "latent", "interpolation", "traversal"):
        image = np.asarray(Image.open(vae / "evaluation" / f"{picture}.png"))
        assert image.std() > 5, picture
    events = EventAccumulator(str(vae / "tensorboard" / "evaluation"), size_guidance={"images": 0}).Reload()
    assert events.Scalars("evaluation/fid")[0].value == pytest.approx(found["fid"]["value"], rel=1e-5)
    assert "evaluation/samples" in events.Tags()["images"]
    assert list((vae / "tensorboard" / "evaluation").glob("projector_config.pbtxt"))
    assert "real against real" in outcome.out
    assert not (here / "outputs" / "evaluate").exists(), "nothing is left where nothing was written"


def test_evaluating_again_gives_the_same_numbers_and_replaces_the_old(
    vae: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", f"run={vae}", "k=5", "n=100"]
    call(arguments, capsys)
    first = metrics(vae)
    call(arguments, capsys)
    clock = {"sampling_images_per_s"}
    assert {k: v for k, v in metrics(vae).items() if k not in clock} == {
        k: v for k, v in first.items() if k not in clock
    }
    call([*arguments, "seed=1"], capsys)
    other = metrics(vae)
    assert other["fid"]["value"] != first["fid"]["value"]
    difference = other["fid"]["value"] - first["fid"]["value"]
    assert abs(difference) < 5 * math.hypot(other["fid"]["stderr"], first["fid"]["stderr"])
    assert len(list((vae / "tensorboard" / "evaluation").glob("*.genlab"))) == 1


def test_samples_from_elsewhere_are_compared_and_the_run_keeps_its_own(
    vae: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(["evaluate", f"run={vae}", "k=5"], capsys)
    own = (vae / "metrics.json").read_bytes()
    dataset = make_dataset(configure())
    one = grey(dataset)(dataset.train.take(torch.tensor([7]))).repeat(200, 1, 1, 1)
    np.savez("one.npz", samples=one.numpy())
    outcome = call(["evaluate", f"run={vae}", "samples=one.npz"], capsys)
    assert outcome.code == 0, outcome.err
    assert "mode collapse" in outcome.out
    assert "missing classes" in outcome.out
    assert "memorisation" in outcome.out
    (folder,) = [path.parent for path in (here / "outputs" / "evaluate").rglob("metrics.json")]
    assert metrics(folder)["classes_reached"]["value"] == 0.1
    assert "elbo" not in metrics(folder)
    assert (vae / "metrics.json").read_bytes() == own


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["samples=none.npy"], ("samples=none.npy", "no such file")),
        (["samples=text.npy"], ("samples=text.npy", "cannot be read")),
        (["samples=shape.npy"], ("has the shape 30x5", "examples of 1x8x8")),
        (["samples=range.npy"], ("values in [", "rescale them to [0, 1]")),
        (["samples=two.npz"], ("holds a, b", "'samples'")),
        (["n=3"], ("n=3", "20")),
        (["k=0"], ("k=0",)),
        (["latent=tnse"], ("latent=tnse", "tsne")),
        (["sampler=ddim"], ("sampler=ddim", "model=vae has no such choice")),
        (["nn=3"], ("nn is not a key",)),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(
    arguments: list[str], words: tuple[str, ...], vae: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.npy").write_text("no array")
    np.save("shape.npy", np.zeros((30, 5)))
    np.save("range.npy", np.full((30, 8, 8), 3.0))
    np.savez("two.npz", a=np.zeros(3), b=np.zeros(3))
    before = {path: path.stat().st_mtime_ns for path in vae.rglob("*")}
    assert_refused(call(["evaluate", f"run={vae}", *arguments], capsys), *words)
    assert {path: path.stat().st_mtime_ns for path in vae.rglob("*")} == before
    assert not list(here.rglob("outputs/evaluate/*/*"))


def test_a_sweep_of_evaluations_has_its_table(vae: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["evaluate", "-m", f"run={vae}", "k=2,3", "n=50"], capsys)
    assert outcome.code == 0, outcome.err
    assert "sweep of 2 jobs" in outcome.out
    for job in trained(here / "outputs"):
        assert info(job)["results"]["fid"]["value"] > 0


@pytest.fixture(scope="module")
def feature_networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the network of a data set is kept, which the families share."""
    return tmp_path_factory.mktemp("features")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow if kind in LONG else ()) for kind in KINDS])
def test_every_family_is_measured_on_all_that_it_models(
    name: str, kind: str, feature_networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not accepts(name, kind):
        pytest.skip(f"{name} refuses {kind} data, which another test checks")
    monkeypatch.setenv("XDG_CACHE_HOME", str(feature_networks))
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    monkeypatch.setattr("genlab.evaluation.features.feature_network.EXAMPLES", 1280)
    dataset = small_data(kind)
    model = make_model(configure(f"model={name}", *BRISK.get(name, ())), dataset.spec).eval()
    calls: list[tuple[Any, list[Batch]]] = []

    def recorded(*arguments: Any) -> list[Batch]:
        calls.append((arguments, list(represented(*arguments))))
        return calls[-1][1]

    monkeypatch.setattr("genlab.evaluation.evaluation_context.represented", recorded)
    found = evaluate(model, dataset, Settings(40, 0, 4, FEW_CHAINS, "pca", {}), {"seconds": 1.0})
    ((arguments, batches),) = calls  # the test split is represented once, and no measure writes into it
    assert all(torch.equal(a.x, b.x) for a, b in zip(batches, represented(*arguments), strict=True))
    text = json.dumps({"metrics": found.metrics(), "facts": found.facts}, allow_nan=False)
    assert strict_json(text)
    for key, entry in found.entries.items():
        assert math.isfinite(entry.value), key
    assert ("fid" in found.entries) == isinstance(model, GenerativeModel)
    assert {"parameters", "training_seconds"} <= set(found.entries)
    if kind == "spins" and isinstance(model, GenerativeModel):
        assert found.samples is not None
        if getattr(model, "discrete", False):  # others, as PCA, know no spins
            assert set(found.samples.x.unique().tolist()) <= {0.0, 1.0}, "spins are compared as spins"


def test_real_images_are_better_than_noisy_ones_and_these_than_independent_pixels(digits: Reference) -> None:
    floor, baseline = digits.floor, digits.baseline
    noise = torch.randn(digits.real_x.shape, generator=torch.Generator().manual_seed(0))
    noisy = feature_measures(digits, (digits.real_x + 0.2 * noise).clamp(0, 1)).measures
    for name in ("fid", "kid", "mmd"):
        assert floor[name].value < noisy[name].value < baseline[name].value, name
    assert floor["coverage"].value > noisy["coverage"].value > baseline["coverage"].value
    assert abs(floor["kid"].value) < 3 * floor["kid"].stderr


def test_a_collapsed_model_and_a_memorising_one_are_named_and_real_images_are_not(digits: Reference) -> None:
    names = {d.name for d in quality(digits, digits.real_x[:1].repeat(300, 1, 1, 1)).diagnoses}
    assert {"mode collapse", "missing classes"} <= names
    copies = digits.real_x + 0.01 * torch.rand(digits.real_x.shape)
    assert [d.name for d in quality(digits, copies.clamp(0, 1)).diagnoses] == ["memorisation"]
    # Test images have not been seen: half of them stand in for samples, the other half are the test split.
    assert digits.dataset.test.y is not None
    half = len(digits.x) // 2
    held_out = make_dataset(configure("dataset.test=0.5"))
    fresh = Reference(held_out, digits.space, 300, 0)
    unseen = grey(held_out)(held_out.validation.take(torch.arange(80)))  # type: ignore[union-attr]
    assert half > 100
    assert quality(fresh, unseen).diagnoses == []


def test_samples_of_the_class_from_which_they_are_drawn_are_counted(digits: Reference) -> None:
    assert digits.labels is not None
    right = quality(digits, digits.x, digits.labels).entries["conditional_accuracy"]
    assert right.value > 0.9
    assert right.real is not None
    assert right.value == pytest.approx(right.real.value)  # these are the real ones
    wrong = quality(digits, digits.x, (digits.labels + 1) % 10).entries["conditional_accuracy"]
    assert wrong.value < 0.1
    assert "conditional_accuracy" not in quality(digits, digits.x).entries


def test_samples_that_are_not_finite_are_diagnosed_and_not_measured(digits: Reference) -> None:
    broken = digits.real_x.clone()
    broken[4, 0, 2, 2] = float("nan")
    found = quality(digits, broken)
    assert [d.name for d in found.diagnoses] == ["non-finite values"]
    assert found.entries == {}


@pytest.mark.parametrize("kind", ["pca", "tsne"])
def test_maps_of_codes(kind: str) -> None:
    codes = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    codes[:, 0] *= 10
    plane, names, _ = project(codes, kind, 0)  # type: ignore[arg-type]
    assert plane.shape == (60, 2)
    assert torch.isfinite(torch.as_tensor(plane)).all()
    if kind == "pca":
        assert float(torch.as_tensor(plane)[:, 0].var()) == pytest.approx(100, rel=0.4)
        assert "% of the variance" in names[0]
    two, names, _ = project(codes[:, :2], kind, 0)  # type: ignore[arg-type]
    assert torch.equal(two, codes[:, :2])
