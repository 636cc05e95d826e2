"""Anomaly detection: the area under the ROC curve and its error against exact answers, and the whole of it as a command."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.data.sources.digits import digits
from genlab.data.splits import prepare
from genlab.errors import GenlabError
from genlab.evaluation.anomalous_data import Anomalies, of_excluded, of_other_data
from genlab.evaluation.anomaly import anomaly_detection, odds_against
from genlab.evaluation.findings import Findings
from genlab.metrics.estimate import Estimate, bootstrap
from genlab.metrics.ranking import auroc, average_precision, false_positives_at, interval, midranks, roc
from genlab.models.base import Metrics, Model
from tests.helpers.evaluations import taken
from tests.helpers.processes import assert_refused, call, execute, strict_json, write_mnist
from tests.helpers.support import configure, dataset_of, make_dataset, make_model, small_data

FOUR = ["dataset.exclude=[4]", "train.examples=20000", "model.hidden=[64]"]


def normals(n: int, mean: float, seed: int) -> Tensor:
    return mean + torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def truth(positive: Tensor, negative: Tensor) -> tuple[np.ndarray, np.ndarray]:
    labels = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    return labels, torch.cat([positive, negative]).numpy()


# ------------------------------------------------------------------------------------------------------ areas and errors


@pytest.mark.parametrize("coarse", [0.0, 0.5, 3.0])
def test_areas_and_curves_are_those_of_scikit_learn_with_ties_too(coarse: float) -> None:
    x, y = normals(300, 0.7, 0), normals(500, 0.0, 1)
    if coarse:
        x, y = (coarse * (values / coarse).round() for values in (x, y))
    labels, scores = truth(x, y)
    curve = roc(x, y)
    assert auroc(x, y).value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(curve) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    false, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert np.allclose(curve.false_positive_rate, false, atol=1e-12)
    assert np.allclose(curve.true_positive_rate, found, atol=1e-12)
    assert false_positives_at(curve, 0.9) == pytest.approx(false[np.argmax(found >= 0.9)])
    area = torch.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert float(area) == pytest.approx(auroc(x, y).value, abs=1e-12)


def test_midranks_share_what_is_equal() -> None:
    assert midranks(torch.tensor([3.0, 1.0, 3.0, 2.0, 3.0])).tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]


def test_the_error_is_that_of_the_definition() -> None:
    """Var(V)/n + Var(W)/m with the components written out as sums over all pairs."""
    x, y = normals(40, 1.0, 2).mul(2).round(), normals(30, 0.0, 3).mul(2).round()
    pairs = (x[:, None] > y).double() + 0.5 * (x[:, None] == y)
    found = auroc(x, y)
    assert found.value == pytest.approx(float(pairs.mean()), abs=1e-12)
    expected = float(pairs.mean(1).var()) / 40 + float(pairs.mean(0).var()) / 30
    assert found.stderr == pytest.approx(math.sqrt(expected), rel=1e-9)


def test_two_normal_distributions_have_the_area_and_the_error_that_theory_gives() -> None:
    """A = Phi(d/sqrt 2). With Q = P(x > y, x' > y) = P(x > y, x > y'), both by the bivariate normal of correlation 1/2,
    Var = (A(1 - A) + (n + m - 2)(Q - A^2))/nm (Hanley & McNeil 1982); the estimates scatter over 400 repetitions by that much.
    """
    from scipy.stats import multivariate_normal, norm

    d, n, m, repetitions = 1.0, 120, 200, 400
    area = norm.cdf(d / math.sqrt(2))
    both = multivariate_normal(mean=[0, 0], cov=[[1, 0.5], [0.5, 1]]).cdf([d / math.sqrt(2)] * 2)
    stderr = math.sqrt((area * (1 - area) + (n + m - 2) * (both - area**2)) / (n * m))
    found = [auroc(normals(n, d, 2 * i), normals(m, 0.0, 2 * i + 1)) for i in range(repetitions)]
    values = torch.tensor([measure.value for measure in found])
    errors = torch.tensor([measure.stderr for measure in found])
    assert float(values.mean()) == pytest.approx(area, abs=4 * stderr / math.sqrt(repetitions))
    assert float(values.std()) == pytest.approx(stderr, rel=4 / math.sqrt(2 * repetitions))
    assert float(errors.mean()) == pytest.approx(stderr, rel=0.02)
    inside = sum(low < area < high for low, high in map(interval, found)) / repetitions
    assert inside == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / repetitions))


def test_the_error_is_that_of_the_bootstrap() -> None:
    x, y = normals(400, 0.4, 4).mul(4).round(), normals(300, 0.0, 5).mul(4).round()
    replicates = 400
    resampled, _ = bootstrap(lambda a, b: auroc(a, b).value, x, y, replicates=replicates)
    assert auroc(x, y).stderr == pytest.approx(resampled.stderr, rel=4 / math.sqrt(2 * replicates))


def test_what_is_separated_and_what_is_equal() -> None:
    low, high = torch.arange(50.0), torch.arange(100.0, 130.0)
    assert auroc(high, low).value == 1
    assert auroc(low, high).value == 0
    assert 0 < auroc(high, low).stderr < 0.03, "finite sets prove no separation"
    bottom, top = interval(auroc(high, low))
    assert 0.9 < bottom < 1 == top
    constant = auroc(torch.ones(20), torch.ones(30))
    assert constant == Estimate(0.5, 0.0), "a score that is the same for all says nothing, for certain"
    assert auroc(low, low).value == 0.5
    assert auroc(low.exp(), low.exp()).stderr == auroc(low, low).stderr, "only the order counts"
    with_infinity = torch.tensor([1.0, 2.0, math.inf])
    assert auroc(with_infinity, torch.tensor([0.0, 0.5])).value == 1


# --------------------------------------------------------------------------------------------------- classes left out


@pytest.mark.parametrize("official", [True, False])
def test_excluded_classes_are_in_no_split_and_all_the_anomalies(official: bool) -> None:
    raw = digits()
    if official:
        assert raw.train.y is not None
        half = torch.arange(900)
        raw = RawData(raw.name, raw.train.subset(half + 897), raw.train.subset(half), raw.levels, raw.num_classes)
    test = None if official else 0.2
    dataset = prepare(raw, binarize="none", dequantize=False, validation=0.1, test=test, exclude=[4, 7])
    held_out = raw.train if raw.test is None else raw.test
    splits = [dataset.train, dataset.validation, dataset.test]
    for split in splits:
        assert split is not None
        assert split.y is not None
        assert sorted(split.y.unique().tolist()) == [0, 1, 2, 3, 5, 6, 8, 9]
    assert dataset.anomalies is not None
    assert dataset.anomalies.y is not None
    assert held_out.y is not None
    assert dataset.anomalies.y.unique().tolist() == [4, 7]
    assert len(dataset.anomalies) == int(((held_out.y == 4) | (held_out.y == 7)).sum())
    assert dataset.spec.num_classes == 10, "classes keep their numbers"
    assert isinstance(dataset.train.x, Tensor)
    assert torch.allclose(dataset.spec.mean, dataset.train.x.float().mean(0) / 16, atol=1e-5)
    assert dataset.to(torch.device("cpu")).anomalies is not None


@pytest.mark.parametrize(
    ("exclude", "words"),
    [
        ("[10]", ["dataset.exclude=[10]", "digits has no class 10", "0 to 9"]),
        ("[0,1,2,3,4,5,6,7,8,9]", ["dataset.exclude=[0,1,2,3,4,5,6,7,8,9]", "all classes of digits"]),
        ("[-1]", ["dataset.exclude=[-1]", "no class -1"]),
        ("[]", ["dataset.exclude", "at least 1"]),
        ("4", ["dataset.exclude=4", "list"]),
        ("[four]", ["dataset.exclude=[four]", "no class four", "'dataset.exclude=[0,1]'"]),
    ],
)
def test_classes_that_cannot_be_left_out(
    exclude: str, words: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(call(["train", f"dataset.exclude={exclude}"], capsys), *words)


def test_data_without_labels_have_no_classes_to_leave_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("points.npy", np.random.default_rng(0).normal(size=(200, 2)))
    outcome = call(["train", "dataset=array", "dataset.path=points.npy", "dataset.exclude=[1]"], capsys)
    assert_refused(outcome, "dataset.exclude=[1]", "has no labels", "dataset.exclude=null")


# ------------------------------------------------------------------------------------------------------------- scores


class Oracle(Model):
    """Knows the probabilities, and reconstructs whatever is normal: every score by a formula."""

    supports = frozenset({"real"})
    discrete = False
    classifies = True

    def __init__(self, data: Any) -> None:
        super().__init__(data, None)
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def train_loop(self, batches: Any) -> Any:
        yield from ()

    def evaluate(self, batch: Batch) -> Metrics:
        return {"loss": torch.zeros(len(batch.x))}

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * x.square().sum(1)

    def free_energy(self, x: Tensor) -> Tensor:
        return x[:, 0]

    def reconstruct(self, x: Tensor) -> Tensor:
        return x.clamp(-2, 2)

    def classify(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], -x[:, 0]], 1).log_softmax(1)


def shifted(by: float) -> tuple[Dataset, Anomalies]:
    generator = torch.Generator().manual_seed(0)
    dataset = dataset_of(torch.randn(4000, 3, generator=generator))
    strange = torch.randn(1000, 3, generator=generator) * torch.tensor([1.0, 1.0, 1.0]) + torch.tensor([by, 0.0, 0.0])
    return dataset, of_other_data(
        "anomaly", "shifted", RawData("shifted", Examples(strange, None), None, None, None), dataset
    )


def detected(model: Model, dataset: Dataset, anomalies: Anomalies) -> Findings:
    return taken([anomaly_detection], model, dataset, anomalies=anomalies)


def test_every_score_that_a_model_allows_is_the_one_that_its_name_says() -> None:
    dataset, anomalies = shifted(3.0)
    found = detected(Oracle(dataset.spec), dataset, anomalies)
    assert set(found.entries) == {
        f"auroc_{name}" for name in ("likelihood", "free_energy", "reconstruction", "max_probability")
    }
    x, y = anomalies.examples.x, dataset.test.x
    assert isinstance(x, Tensor)
    assert isinstance(y, Tensor)
    scores: dict[str, Callable[[Tensor], Tensor]] = {
        "likelihood": lambda v: v.square().sum(1),
        "free_energy": lambda v: v[:, 0],
        "reconstruction": lambda v: (v - v.clamp(-2, 2)).square().sum(1),
        "max_probability": lambda v: -v[:, 0].abs(),
    }
    for name, score in scores.items():
        entry = found.entries[f"auroc_{name}"]
        assert entry.value == pytest.approx(auroc(score(x), score(y)).value, abs=2e-3), name
        assert entry.group == "anomaly"
    assert found.entries["auroc_max_probability"].value < 0.2, "confident where it should not be, and reported so"
    baseline = found.entries["auroc_likelihood"].baseline
    assert baseline is not None
    assert baseline.value == pytest.approx(found.entries["auroc_likelihood"].value, abs=0.01), "the same normal density"
    assert found.facts["anomaly"]["normal"] == 800
    assert found.facts["anomaly"]["anomalous"] == 1000


def test_odds_against_the_likeliest_class_stay_finite_where_its_probability_rounds_to_1() -> None:
    log_p = torch.tensor([[0.0, -40.0, -90.0], [math.log(0.5), math.log(0.3), math.log(0.2)]])
    assert torch.allclose(odds_against(log_p), torch.tensor([-40.0, 0.0]), atol=1e-6)


def test_the_same_distribution_cannot_be_told_apart() -> None:
    dataset, anomalies = shifted(0.0)
    for name, entry in detected(Oracle(dataset.spec), dataset, anomalies).entries.items():
        assert entry.stderr is not None
        assert abs(entry.value - 0.5) < 4 * entry.stderr, name


def test_a_score_that_is_not_finite_is_named_and_left_out() -> None:
    class Broken(Oracle):
        def log_prob(self, x: Tensor) -> Tensor:
            return torch.full((len(x),), math.nan)

    dataset, anomalies = shifted(1.0)
    found = detected(Broken(dataset.spec), dataset, anomalies)
    assert "auroc_likelihood" not in found.entries
    assert "auroc_free_energy" in found.entries
    assert "likelihood" in found.diagnoses[0].evidence


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (torch.zeros(9, 1, 8, 8), "its examples are 1x8x8 and those of test 3"),
        (torch.zeros(1, 3), "needs two examples"),
    ],
)
def test_sets_that_do_not_fit_are_refused(raw: Tensor, words: str) -> None:
    dataset, _ = shifted(1.0)
    with pytest.raises(GenlabError, match=words):
        of_other_data("anomaly", "other", RawData("other", Examples(raw, None), None, None, None), dataset)


def test_values_that_a_model_of_binary_or_grey_data_cannot_see_are_refused() -> None:
    grey = small_data("grey")
    wide = RawData("wide", Examples(3 * torch.rand(20, 1, 8, 8), None), None, None, None)
    with pytest.raises(GenlabError, match=r"values lie in \[.*rescale"):
        of_other_data("anomaly", "wide", wide, grey)
    spins = RawData("grey", Examples(torch.rand(20, 6), None), None, None, None)
    with pytest.raises(GenlabError, match="its values are grey"):
        of_other_data("anomaly", "grey", spins, small_data("spins"))
    with pytest.raises(GenlabError, match=r"dataset.exclude=\[CLASS\]"):
        of_excluded(grey)


# ----------------------------------------------------------------------------------------------------------- commands


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from genlab.cli import main

    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", "model=vae", *FOUR, f"hydra.run.dir={folder / 'vae'}"]) == 0
    assert main(["train", "model=vae", "train.examples=600", f"hydra.run.dir={folder / 'whole'}"]) == 0
    return folder


def metrics(run: Path) -> dict[str, Any]:
    return dict(strict_json((run / "metrics.json").read_text()))


def facts(run: Path) -> dict[str, Any]:
    return dict(strict_json((run / "evaluation" / "evaluation.json").read_text()))


@pytest.mark.slow
def test_a_process_tells_the_class_left_out_from_the_others(runs: Path, here: Path) -> None:
    outcome = execute(["evaluate", f"run={runs / 'vae'}", "anomaly=excluded", "k=10", "n=100"], here)
    assert (outcome.code, outcome.err) == (0, "")
    assert "anomalies    excluded: 181 against 323 test examples" in outcome.out
    found = metrics(runs / "vae")
    for name in ("bound", "reconstruction"):
        entry = found[f"auroc_{name}"]
        assert entry["group"] == "anomaly"
        assert 0.6 < entry["value"] < 1
        assert 0.01 < entry["stderr"] < 0.03
        assert 0.5 < entry["baseline"]["value"] < 1
        told = facts(runs / "vae")["anomaly"]["scores"][name]
        assert told["interval_95"][0] < told["auroc"] < told["interval_95"][1]
    assert facts(runs / "vae")["anomaly"]["against"] == "excluded"
    assert "accuracy_class_4" not in found
    for picture in ("anomaly", "anomalies"):
        assert np.asarray(Image.open(runs / "vae" / "evaluation" / f"{picture}.png")).std() > 5


def test_a_run_with_a_class_left_out_is_measured_on_it_by_default_and_a_file_can_stand_in(
    runs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["evaluate", f"run={runs / 'vae'}", "k=2", "n=50"], capsys).code == 0
    assert facts(runs / "vae")["anomaly"]["against"] == "excluded"
    noise = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.save("noise.npy", noise)
    outcome = call(["evaluate", f"run={runs / 'vae'}", "anomaly=noise.npy", "k=2", "n=50"], capsys)
    assert outcome.code == 0, outcome.err
    assert metrics(runs / "vae")["auroc_bound"]["value"] > 0.99, "independent pixels are no digits"
    assert facts(runs / "vae")["anomaly"]["anomalous"] == 60


@pytest.mark.slow
def test_another_data_set_by_its_name(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mnist", "kmnist"):
        write_mnist(here / "data" / name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    small = ["dataset=mnist", "dataset.root=data", "dataset.validation=20", "train.examples=600"]
    assert call(["train", "model=rbm", *small, "model.hidden=8", "hydra.run.dir=run"], capsys).code == 0
    ais = ["ais.chains=2", "ais.temperatures=3", "ais.schedule=even", "ais.sweeps=1"]
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    outcome = call(["evaluate", "run=run", "anomaly=kmnist", "n=20", *ais], capsys)
    assert outcome.code == 0, outcome.err
    entry = metrics(here / "run")["auroc_free_energy"]
    assert abs(entry["value"] - 0.5) < 4 * entry["stderr"] + 0.02, "both hold the same random pixels"
    assert facts(here / "run")["anomaly"]["against"] == "kmnist"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["anomaly=fashion_mnits"], ["anomaly=fashion_mnits", "did you mean 'fashion_mnist'?"]),
        (["anomaly=exluded"], ["anomaly=exluded", "did you mean 'excluded'?"]),
        (["anomaly=excluded"], ["anomaly=excluded", "dataset.exclude=[CLASS]"]),
        (["anomaly=array"], ["anomaly=array", "anomaly=PATH"]),
        (["anomaly=nothing.npy"], ["anomaly=nothing.npy", "no such file"]),
        (["anomaly=points.npy"], ["anomaly=points.npy", "its examples are 2 and those of digits 1x8x8"]),
        (["anomaly=4"], ["anomaly=4", "excluded", "fashion_mnist"]),
        (["anomaly=excluded", "samples=x.npy"], ["anomaly=excluded", "samples=x.npy", "one of the two"]),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(
    words: list[str], answer: list[str], runs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("points.npy", np.zeros((30, 2)))
    before = {path: path.stat().st_mtime_ns for path in (runs / "whole").rglob("*")}
    assert_refused(call(["evaluate", f"run={runs / 'whole'}", *words], capsys), *answer)
    assert {path: path.stat().st_mtime_ns for path in (runs / "whole").rglob("*")} == before


def test_another_shape_is_refused_by_its_name(
    runs: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(here / "data" / "mnist")
    monkeypatch.setenv("GENLAB_DATA", str(here / "data"))
    outcome = call(["evaluate", f"run={runs / 'whole'}", "anomaly=mnist"], capsys)
    assert_refused(outcome, "anomaly=mnist", "1x28x28", "1x8x8")


def test_a_classifier_with_a_class_left_out_is_measured() -> None:
    config = configure("model=classifier", "dataset.exclude=[4]")
    dataset = make_dataset(config)
    model = make_model(config, dataset.spec).eval()
    found = detected(model, dataset, of_excluded(dataset))
    assert set(found.entries) == {"auroc_max_probability"}
