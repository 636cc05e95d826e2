"""Denoising, compression and dimensionality reduction against exact answers, and as a part of genlab evaluate."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.manifold import trustworthiness as reference_trustworthiness
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.dataset import Dataset
from genlab.errors import GenlabError
from genlab.evaluation.anomaly import anomaly_detection
from genlab.evaluation.code_quality import code_quality
from genlab.evaluation.compression import bits_of, compression
from genlab.evaluation.denoising import Noise, denoising, noise_of, psnr
from genlab.evaluation.entries import Entries, entry
from genlab.evaluation.findings import Findings
from genlab.evaluation.held_out import codes as codes_of_test_split
from genlab.metrics.estimate import Estimate
from genlab.metrics.neighbours import (
    linear_accuracy,
    nearest_neighbours_accuracy,
    principal_components,
    ranks_of_distances,
    trustworthiness,
)
from genlab.models.base import Metrics, Model
from genlab.plots.images import Picture
from genlab.report.contexts import context
from genlab.report.measures import ANOMALY, CODES, COMPRESSION, DENOISING
from genlab.report.read_runs import Run, read_run
from genlab.report.rows import make_rows
from genlab.report.tables import make_tables
from tests.helpers.evaluations import taken
from tests.helpers.processes import assert_refused, call, strict_json
from tests.helpers.support import dataset_of, small_data


class Map(Model):
    """Reconstructs by `factor` * x and encodes the first `kept` components as they are."""

    supports = frozenset({"binary", "unit", "real"})

    def __init__(self, dataset: Dataset, factor: float = 1.0, kept: int = 2) -> None:
        super().__init__(dataset.spec, None)
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.factor, self.kept = factor, kept

    def train_loop(self, batches: Any) -> Any:
        yield from ()

    def evaluate(self, batch: Batch) -> Metrics:
        return {"loss": torch.zeros(len(batch.x))}

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.factor * x

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, : self.kept]


class Coded(Map):
    """The same with codes of 3 bits each."""

    def rate_bits(self, x: Tensor) -> Tensor:
        return torch.full((len(x),), 3.0)

    def code_bits(self) -> float:
        return 4.0


def points(n: int = 2000, dim: int = 6) -> Dataset:
    return dataset_of(torch.randn(n, dim, generator=torch.Generator().manual_seed(0)))


def blobs(n: int = 1200, classes: int = 4, apart: float = 50.0) -> Dataset:
    """Classes on a line far apart in the first component; 5 more without meaning."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(classes, (n,), generator=generator)
    x = torch.randn(n, 6, generator=generator)
    x[:, 0] += apart * y
    return dataset_of(x, y=y, classes=classes)


# ---------------------------------------------------------------------------------------------------------- denoising


def denoised(model: Model, dataset: Dataset, level: float | None) -> tuple[Entries, dict[str, Picture]]:
    found = taken([denoising], model, dataset, noise=level)
    return found.entries, found.pictures


@pytest.mark.parametrize("level", [0.2, 0.7])
def test_noise_has_the_squared_error_that_theory_gives(level: float) -> None:
    """E|eps|^2 = D s^2 of Gaussian noise with the variance 2 D s^4, and D p of flips; the identity restores nothing."""
    dataset = points()
    found, pictures = denoised(Map(dataset), dataset, level)
    mse = found["denoising_mse"]
    assert mse.baseline is not None
    n, dim = len(dataset.test), 6
    assert mse.baseline.value == pytest.approx(dim * level**2, abs=4 * math.sqrt(2 * dim / n) * level**2)
    assert mse.baseline.stderr == pytest.approx(math.sqrt(2 * dim / n) * level**2, rel=0.2)
    assert mse.value == pytest.approx(mse.baseline.value, rel=1e-6)
    assert pictures == {}
    assert "denoising_psnr" not in found, "points have no peak"


def test_flips_have_the_squared_error_that_theory_gives() -> None:
    x = (torch.rand(2000, 1, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    dataset = dataset_of(x)
    noise = noise_of(dataset.spec, None)
    assert noise == Noise(0.1, binary=True)
    assert noise is not None
    noisy = noise(x)
    assert set(noisy.unique().tolist()) == {0.0, 1.0}
    found, pictures = denoised(Map(dataset), dataset, None)
    baseline = found["denoising_mse"].baseline
    assert baseline is not None
    assert baseline.value == pytest.approx(3.6, abs=4 * math.sqrt(36 * 0.09 / len(dataset.test)))
    assert found["denoising_psnr"].baseline is not None
    assert found["denoising_psnr"].baseline.value == pytest.approx(10, abs=0.5), "-10 log10 0.1"
    assert pictures["denoising"].std() > 5


def test_the_best_linear_denoiser_reaches_the_error_of_wiener() -> None:
    """Of x ~ N(0, 1) with noise of variance s^2, E[x|noisy] = noisy/(1 + s^2) and the error is D s^2/(1 + s^2)."""
    dataset, s = points(20_000), 0.8
    found, _ = denoised(Map(dataset, 1 / (1 + s**2)), dataset, s)
    expected = 6 * s**2 / (1 + s**2)
    assert found["denoising_mse"].value == pytest.approx(expected, abs=4 * (found["denoising_mse"].stderr or 0))


def test_the_peak_signal_to_noise_ratio_and_its_error() -> None:
    found = psnr(Estimate(0.64, 0.0064), 64)
    assert found.value == pytest.approx(20)
    assert found.stderr == pytest.approx(-10 * math.log10(0.64) + 10 * math.log10(0.6464), rel=0.01)


def test_levels_suit_the_data() -> None:
    grey, real = small_data("grey").spec, small_data("vectors").spec
    assert noise_of(grey, None) == Noise(0.5, binary=False)
    usual = noise_of(real, None)
    assert usual is not None
    assert usual.level == pytest.approx(0.5 * float(real.std.square().mean().sqrt()))
    assert noise_of(grey, 0) is None
    with pytest.raises(GenlabError, match=r"noise=0\.7: .*set 0\.5 or less"):
        noise_of(small_data("binary").spec, 0.7)


# -------------------------------------------------------------------------------------------------------------- codes


def quality_of_codes(model: Model, dataset: Dataset) -> Entries:
    return taken([codes_of_test_split, code_quality], model, dataset).entries


def test_separable_codes_are_told_apart_and_codes_without_meaning_are_not() -> None:
    dataset = blobs()
    found = quality_of_codes(Map(dataset, kept=1), dataset)
    for name in ("knn_accuracy", "linear_accuracy"):
        assert found[name].value == 1, name
        assert (found[name].stderr or 0) > 0, "240 of 240 are not known to be all"
        assert found[name].baseline is not None
        assert found[name].baseline.value == 1, "the first principal component is the same line"  # type: ignore[union-attr]

    class Blind(Map):
        def encode(self, x: Tensor) -> Tensor:
            return x[:, 3:5]

    blind = quality_of_codes(Blind(dataset), dataset)
    for name in ("knn_accuracy", "linear_accuracy"):
        assert abs(blind[name].value - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(dataset.test)), name
    assert blind["trustworthiness"].value < 0.7 < 0.85 < found["trustworthiness"].value


def test_trustworthiness_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(150, 8, generator=generator)
    for codes in (x[:, :2], x.square()[:, :3], torch.randn(150, 4, generator=generator)):
        for k in (3, 5):
            expected = reference_trustworthiness(x.numpy(), codes.numpy(), n_neighbors=k)
            assert trustworthiness(ranks_of_distances(x), codes, k).value == pytest.approx(expected, abs=1e-9)
    same = trustworthiness(ranks_of_distances(x), 3 * x + 1)
    assert same == Estimate(1.0, same.stderr), "an isometry keeps every neighbour"


def test_ranks_of_points_on_a_line() -> None:
    assert ranks_of_distances(torch.tensor([[0.0], [1.0], [3.0], [7.0]])).tolist() == [
        [0, 1, 2, 3],
        [1, 0, 2, 3],
        [2, 1, 0, 3],
        [3, 2, 1, 0],
    ]


def test_principal_components_are_those_of_the_training_examples() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=generator) * torch.tensor([9.0, 1.0, 4.0, 0.1, 2.0]) + 30
    train, test = principal_components(x[:300], x[300:], 2)
    assert train.shape == (300, 2)
    _, s, _ = torch.linalg.svd((x[:300] - x[:300].mean(0)).double(), full_matrices=False)
    assert torch.allclose(train.norm(dim=0), s[:2], rtol=1e-5)
    assert principal_components(x, x, 9)[0].shape == (400, 5)
    near = torch.linalg.vector_norm(test[0] - test[1]) <= torch.linalg.vector_norm(x[300] - x[301]) + 1e-6
    assert bool(near), "a projection"


def test_accuracies_of_shuffled_labels_are_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(1500, 3, generator=generator), torch.randint(3, (1500,), generator=generator)
    for measure in (nearest_neighbours_accuracy, linear_accuracy):
        found = measure(x[:1000], y[:1000], x[1000:], y[1000:])
        assert abs(found.value - 1 / 3) < 4 * found.stderr


def test_codes_that_never_move_or_are_not_finite_break_nothing() -> None:
    dataset = blobs(300)

    class Constant(Map):
        def encode(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 3)

    found = quality_of_codes(Constant(dataset), dataset)
    assert found["linear_accuracy"].value < 0.5
    assert all(math.isfinite(one.value) for one in found.values())

    class Broken(Map):
        def encode(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 3), math.nan)

    assert quality_of_codes(Broken(dataset), dataset) == {}


# -------------------------------------------------------------------------------------------------------- compression


def held_out(numbers: int, **entries: Estimate) -> Findings:
    family: Entries = {name: entry("family", measure, "") for name, measure in entries.items()}
    return Findings(entries=family, codes=torch.zeros(5, numbers))


def compressed(model: Model, dataset: Dataset, findings: Findings) -> Entries:
    return taken([compression], model, dataset, findings).entries


def test_rates_and_ratios_are_counts_of_bits() -> None:
    grey, binary, real = small_data("grey"), small_data("binary"), points()
    assert (bits_of(grey), bits_of(binary), bits_of(real)) == (8, 1, 32)
    plain = compressed(Map(grey), grey, held_out(4, reconstruction_mse=Estimate(6.4, 0.64)))
    assert plain["code_numbers"].value == 4
    assert plain["compression_ratio"].value == 64 * 8 / (4 * 32)
    assert plain["distortion"].value == pytest.approx(0.1)
    assert plain["distortion"].stderr == pytest.approx(0.01)
    assert "rate" not in plain, "no rate is known of plain numbers"
    bits_back = compressed(Map(binary), binary, held_out(4, kl=Estimate(8 * math.log(2), math.log(2))))
    assert bits_back["rate"].value == pytest.approx(8)
    assert bits_back["rate"].stderr == pytest.approx(1)
    assert bits_back["compression_ratio"].value == 64 / (4 * 32)
    assert bits_back["compression_ratio_rate"].value == pytest.approx(64 / 8)
    assert bits_back["compression_ratio_rate"].stderr == pytest.approx(1)
    discrete = compressed(Coded(grey), grey, held_out(4, kl=Estimate(8.0, 1.0)))
    assert discrete["rate"].value == 3, "what a family says of its discrete codes goes first"
    assert discrete["compression_ratio_rate"].value == pytest.approx(64 * 8 / 3)
    assert discrete["compression_ratio"].value == 64 * 8 / 4
    assert "code_numbers" not in discrete


def test_a_model_is_put_to_the_uses_that_it_has() -> None:
    dataset = blobs(300)
    uses = [denoising, compression, code_quality, anomaly_detection]
    found = taken([codes_of_test_split, *uses], Map(dataset), dataset)
    groups = {one.group for one in found.entries.values()}
    assert groups == {"denoising", "compression", "codes"}
    assert "flips" not in found.facts["denoising"]["kind"]
    off = taken([*uses], Map(dataset), dataset, noise=0.0)
    assert off.entries == {}


# ------------------------------------------------------------------------------------------------- command and report


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def ae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from genlab.cli import main

    folder = tmp_path_factory.mktemp("ae") / "run"
    options = [
        "model.noise=0.4",
        "train.examples=30000",
        "model.hidden=[128]",
        "model.latent_dim=12",
        f"hydra.run.dir={folder}",
    ]
    assert main(["train", "model=ae", *options]) == 0
    assert main(["evaluate", f"run={folder}", "noise=0.4", "n=100"]) == 0
    return folder


def read(run: Path) -> Run:
    found = read_run(run)
    assert isinstance(found, Run)
    return found


def test_a_denoising_autoencoder_restores_digits_and_keeps_their_classes(ae: Path) -> None:
    found: Any = strict_json((ae / "metrics.json").read_text())
    assert found["denoising_mse"]["value"] < 0.5 * found["denoising_mse"]["baseline"]["value"]
    assert found["denoising_mse"]["baseline"]["value"] == pytest.approx(64 * 0.16, rel=0.05)
    assert found["denoising_psnr"]["value"] > found["denoising_psnr"]["baseline"]["value"] + 3
    assert found["knn_accuracy"]["value"] > 0.9
    assert found["trustworthiness"]["value"] > 0.9
    assert found["compression_ratio"]["value"] == pytest.approx(64 * 8 / (12 * 32), rel=1e-3)
    assert np.asarray(Image.open(ae / "evaluation" / "denoising.png")).std() > 5


def test_the_comparison_shows_every_use_in_its_own_table_and_context(ae: Path) -> None:
    run = read(ae)
    assert context(run, DENOISING).task == "Gaussian noise of standard deviation 0.4"
    assert context(run, CODES).representation == ""
    run.evaluation["anomaly"] = {"against": "mnist"}
    assert "against mnist" in str(context(run, ANOMALY))
    assert context(run, CODES).task == ""
    tables = {table.group: table for table in make_tables(make_rows([run]).rows)}
    assert {DENOISING, COMPRESSION, CODES} <= set(tables)
    (baseline,) = tables[CODES].references
    assert baseline.label == "principal components (baseline)"
    (noisy,) = tables[DENOISING].references
    assert noisy.label == "noisy examples (baseline)"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["noise=-1"], ["noise=-1", "greater than or equal to 0"]),
        (["noise=much"], ["noise=much", "number"]),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], answer: list[str], ae: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(call(["evaluate", f"run={ae}", *words], capsys), *answer)
