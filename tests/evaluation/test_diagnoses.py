"""Diagnoses: each names what is wrong, with its evidence and a remedy, and is silent where nothing is."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.evaluation import diagnoses
from genlab.metrics.estimate import Estimate
from genlab.metrics.memorisation import memorisation, nearest
from genlab.tracking.run_folder import RunFolder
from genlab.training.trainer import Trainer
from tests.helpers.support import configure, small_data, start


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_a_latent_level_that_says_nothing_is_named() -> None:
    found = diagnoses.from_scalars({"eval/kl_1": 12.0, "eval/kl_2": 0.001, "eval/kl": 12.0})
    assert [d.name for d in found] == ["a latent level is asleep"]
    assert "level 2 " in found[0].evidence
    assert diagnoses.from_scalars({"eval/kl_1": 12.0, "eval/kl_2": 3.0}) == []


def test_posterior_collapse_counts_inactive_units() -> None:
    codes = normal(500, 10, 0)
    assert diagnoses.posterior_collapse(codes, has_prior=True) is None
    codes[:, 3:] *= 0.05
    found = diagnoses.posterior_collapse(codes, has_prior=True)
    assert found is not None
    assert found.name == "posterior collapse"
    assert "7 of 10 latent units are inactive" in found.evidence


def test_codes_without_a_prior_are_judged_by_their_own_scale() -> None:
    codes = 1e-3 * normal(500, 4, 0)
    assert diagnoses.posterior_collapse(codes, has_prior=False) is None
    codes[:, :2] = 0
    found = diagnoses.posterior_collapse(codes, has_prior=False)
    assert found is not None
    assert found.name == "dead code units"


def test_lack_of_variety() -> None:
    data = normal(400, 6, 0)
    assert diagnoses.lack_of_variety(normal(300, 6, 1), data) is None
    found = diagnoses.lack_of_variety(data[:1].repeat(300, 1), data)
    assert found is not None
    assert found.name == "mode collapse"
    assert found.evidence.startswith("two samples differ by ")


def test_missing_classes_are_named_with_their_shares() -> None:
    real = torch.full((10,), 0.1, dtype=torch.float64)
    assert diagnoses.missing_classes(real, real, 1000) is None
    generated = real.clone()
    generated[4], generated[5] = 0.001, 0.199
    found = diagnoses.missing_classes(generated, real, 1000)
    assert found is not None
    assert found.evidence == "of 1,000 samples hardly any are of class 4 (1 instead of about 100)"
    # Of twenty samples one class may well be absent by chance.
    few = torch.tensor([2.0, 2, 2, 2, 0, 2, 2, 2, 4, 2], dtype=torch.float64) / 20
    assert diagnoses.missing_classes(few, real, 20) is None
    found = diagnoses.missing_classes(torch.tensor([1.0] + [0.0] * 9), torch.full((10,), 0.1), 200)
    assert found is not None
    assert "and 4 more" in found.evidence


def test_a_class_that_is_there_to_see_is_not_missing() -> None:
    real = torch.full((10,), 0.1, dtype=torch.float64)
    for seen, n, missing in ((0, 360, True), (3, 360, False), (8, 1000, False), (4, 1000, True), (0, 100, False)):
        generated = torch.full((10,), (1 - seen / n) / 9, dtype=torch.float64)
        generated[3] = seen / n
        assert (diagnoses.missing_classes(generated, real, n) is not None) == missing, (seen, n)


def test_classes_at_half_their_frequency_are_not_missing() -> None:
    real = torch.full((10,), 0.1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(2000, 360, generator=generator)
    # Every class at half its frequency, the most that is to be ruled out.
    seen = torch.stack([((draws >= k * 0.05) & (draws < (k + 1) * 0.05)).double().mean(1) for k in range(10)], 1)
    found = [diagnoses.missing_classes(row, real, 360) is not None for row in seen]
    assert sum(found) / len(found) < 2 * diagnoses.CHANCE


def test_poor_coverage_by_samples_near_the_data_and_far_from_them() -> None:
    floor = {"coverage": Estimate(0.97, 0.01), "precision": Estimate(0.9, 0.01)}

    def of(coverage: float, precision: float) -> str | None:
        measured = {"coverage": Estimate(coverage, 0.01), "precision": Estimate(precision, 0.01)}
        found = diagnoses.poor_coverage(measured, floor)
        return found.name if found else None

    assert of(0.6, 0.9) is None
    assert of(0.05, 0.9) == "low coverage"
    assert of(0.0, 0.0) == "samples far from the data"


def test_memorisation_of_copies_and_of_near_copies() -> None:
    train, test, fresh = normal(2000, 8, 0), normal(500, 8, 1), normal(400, 8, 2)

    def of(samples: Tensor) -> diagnoses.Diagnosis | None:
        found = memorisation(nearest(samples, train), nearest(samples, test), len(train), len(test))
        return diagnoses.memorisation(found, Estimate(0.0, 0.0))

    assert of(fresh) is None
    for samples in (train[:400], train[:400] + 0.1 * normal(400, 8, 3)):
        found = of(samples)
        assert found is not None
        assert found.name == "memorisation"
        assert "100.0 % of the samples (80.0 % for a model that memorised nothing)" in found.evidence


def test_range_of_a_decoder() -> None:
    data = small_data("grey")
    x = data.represent(data.train.take(torch.arange(200)))
    assert diagnoses.range_misfit(x.clamp(0.05, 0.95), x, data.spec, "samples") is None
    for wrong in (0.3 * x, x + 1, 4 * x - 1):
        found = diagnoses.range_misfit(wrong, x, data.spec, "samples")
        assert found is not None
        assert "of the samples lie in" in found.evidence


def test_values_that_are_not_finite_are_named_with_their_place() -> None:
    x = torch.zeros(4, 3)
    assert diagnoses.not_finite(x, "the samples") is None
    x[2, 1] = float("nan")
    x[3, 0] = float("inf")
    found = diagnoses.not_finite(x, "the samples")
    assert found is not None
    assert found.evidence == "2 of 12 values of the samples are not finite, the first at index (2, 1)"


@pytest.mark.parametrize(
    ("values", "name", "evidence"),
    [
        ({"train/d_real": 0.999, "train/d_fake": 0.001}, "the discriminator has won", "D(x) = 0.9990"),
        ({"train/d_real": 0.94, "train/d_fake": 0.09}, "the discriminator has won", "D(G(h)) = 0.0900"),
        ({"train/r_hat": 1.7}, "chains do not mix", "R-hat = 1.700"),
        ({"train/energy_data": 3e5}, "energies run away", "3e+05"),
        ({"train/energy_data": -2e4, "train/energy_samples": 10.0}, "energies run away", "-2e+04, 10"),
    ],
)
def test_scalars_of_families_that_log_them(values: dict[str, float], name: str, evidence: str) -> None:
    (found,) = diagnoses.from_scalars(values)
    assert found.name == name
    assert evidence in found.evidence


def test_the_vanishing_gradient_of_the_generator_is_part_of_the_evidence() -> None:
    values = {"train/d_real": 1.0, "train/d_fake": 0.0, "optimizer/generator/gradient_norm": 3e-7}
    assert "norm 3e-07" in diagnoses.from_scalars(values)[0].evidence


def test_healthy_scalars_give_no_diagnosis() -> None:
    healthy = {"train/d_real": 0.6, "train/d_fake": 0.4, "train/r_hat": 1.01, "train/energy_data": -80.0}
    assert diagnoses.from_scalars(healthy) == []
    assert diagnoses.from_scalars({"train/loss": 3.0}) == []
    assert diagnoses.from_scalars({"train/d_real": 0.85, "train/d_fake": 0.15}) == []


def collapsing(run: Path) -> Trainer:
    """beta = 1000 makes the KL term so dear that no latent unit is worth its price."""
    return start(run, configure("model=vae", "model.beta=1000", "train.examples=6000"))


def test_a_collapsed_posterior_is_reported_once_while_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = collapsing(tmp_path)
    loop.fit()
    (warning,) = [w for w in RunFolder(tmp_path).info()["warnings"] if w["name"] == "posterior collapse"]
    assert "20 of 20 latent units are inactive" in warning["evidence"]
    assert 0.3 * 6000 <= warning["examples"] <= 6100
    assert capsys.readouterr().out.count("posterior collapse") == 1


def test_a_healthy_training_warns_of_nothing(tmp_path: Path) -> None:
    start(tmp_path, configure("model=vae", "train.examples=60000")).fit()
    assert "warnings" not in RunFolder(tmp_path).info()


def test_a_loss_beyond_all_bounds_is_named() -> None:
    assert diagnoses.from_scalars({"train/loss": 1e5, "train/value": -1.4}) == []
    (found,) = diagnoses.from_scalars({"train/value": -9.7e22})
    assert found.name == "divergence"
