"""genlab benchmark: what it counts against formulas, what it times against sums, and what it leaves behind."""

import math
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from genlab.benchmark.measurements import Benchmark, BenchmarkSection
from genlab.benchmark.profiling import breakdown, classify, place
from genlab.benchmark.training_steps import TrainingSteps
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.base import GenerativeModel, Metrics, Model
from genlab.numerics import rng
from genlab.numerics.work import count_work
from tests.benchmarks.__main__ import FAMILIES, rounds_of
from tests.benchmarks.ais import TEMPERATURES, Estimates
from tests.benchmarks.contest import Contest, absent, table
from tests.benchmarks.whole_command import PAIRS, SCRIPTS
from tests.helpers.processes import assert_refused, call, files, info, strict_json
from tests.helpers.support import adam_recipe, configure, experiment_of, small_data

QUICK = ["benchmark.repeats=2", "benchmark.seconds=0.01", "benchmark.warmup=2", "benchmark.profile=2"]
QUICK += ["train.examples=2000", "device=cpu", "device.threads=1"]
SECTION = BenchmarkSection(repeats=2, seconds=0.005, warmup=1, n=8, profile=2, logging=True)

ALWAYS = {"train/images_per_s", "train/images_per_s_low", "train/images_per_s_high", "train/update_s"}
ALWAYS |= {"train/flops_per_image", "train/flops_per_s", "train/share_of_matmul_peak", "model/parameters"}
ALWAYS |= {"machine/matmul_flops_per_s", "machine/memory_bytes_per_s", "memory/peak_mb"}
SAMPLING = {"sample/images_per_s", "sample/flops_per_image", "sample/share_of_matmul_peak"}
TIMES = {f"time/{k}_s" for k in ("products", "elementwise", "random", "data", "optimizer", "rest", "logging")}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measured(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Folders of the benchmarks below `folder`, with their benchmark.json."""
    return [(p.parent, strict_json(p.read_text())) for p in sorted(folder.rglob("benchmark.json"))]


def test_a_benchmark_leaves_its_figures_and_what_they_hold_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["benchmark", *QUICK, "seed=3"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    ((folder, figures),) = measured(here)
    assert folder.parent == here / "outputs" / "benchmark" / "vae-digits"
    assert set(files(folder)) == {"benchmark.json", "config.yaml", "run.json"}
    for name in ALWAYS | SAMPLING | {"memory/training_mb"}:
        assert math.isfinite(figures[name]), name
        assert figures[name] > 0 or name == "memory/training_mb", name
    for name in TIMES:
        assert math.isfinite(figures[name]), name
        assert figures[name] >= 0, name
    assert figures["train/images_per_s_low"] <= figures["train/images_per_s"] <= figures["train/images_per_s_high"]
    shares = [figures[f"time/{k}_share"] for k in ("products", "elementwise", "random", "data", "optimizer", "rest")]
    assert sum(shares) == pytest.approx(1, abs=0.2)  # medians of shares need not add up to the last digit
    assert figures["device"] == {"name": "cpu", "precision": "fp32", "threads": 1}
    assert figures["config"] == yaml.safe_load((folder / "config.yaml").read_text())
    assert figures["config"]["seed"] == 3
    assert figures["versions"]["torch"] == torch.__version__
    assert figures["machine"]["processor"]
    assert info(folder)["results"]["train/images_per_s"]["value"] == figures["train/images_per_s"]
    for word in ("training", "sampling", "images/s", "random numbers", "benchmark.json"):
        assert word in outcome.out


def test_a_sweep_over_models_has_a_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(
        ["benchmark", "-m", "model=classifier,vae", *QUICK, "benchmark.profile=0", "benchmark.logging=false"], capsys
    )
    assert (outcome.code, outcome.err) == (0, "")
    found = measured(here / "outputs" / "benchmark" / "sweep")
    assert len(found) == 2
    classifier, vae = (figures for _, figures in found)
    assert set(vae) >= ALWAYS | SAMPLING
    assert set(classifier) >= ALWAYS
    assert not any(name.startswith("sample/") for name in classifier)  # absent, not zero
    assert not any(name.startswith("time/") for name in vae)
    table = outcome.out[outcome.out.index("sweep of 2 jobs") :]
    for word in ("model", "train/images_per_s", "sample/images_per_s", "memory/peak_mb"):
        assert word in table
    assert table.count("finished") == 2


MISTAKES = [
    (["benchmark.x=1"], "benchmark.x is not a key"),
    (["benchmark.repeat=3"], "did you mean 'benchmark.repeats=3'?"),
    (["benchmark.repeats=0"], "benchmark.repeats=0"),
    (["benchmark.seconds=-1"], "benchmark.seconds=-1"),
    (["benchmark=null"], "benchmark=null"),
    (["model.latent_dm=3"], "did you mean 'model.latent_dim=3'?"),
    (["train.batch_size=10000000"], "set a smaller batch"),
    (["+extra=1"], "extra is not a key"),
    (["dataset=array", "dataset.path=nowhere.npy"], "nowhere.npy"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(call(["benchmark", *arguments], capsys), words)
    assert files(here) == {}


def test_what_the_command_line_sets_wins_over_what_a_model_prefers(capsys: pytest.CaptureFixture[str]) -> None:
    def composed(*arguments: str) -> dict[str, Any]:
        outcome = call(["benchmark", "--cfg", "job", "--resolve", *arguments], capsys)
        assert outcome.code == 0
        config = yaml.safe_load(outcome.out)
        assert isinstance(config, dict)
        return config

    assert composed("experiment=vae_mnist_burda")["train"]["batch_size"] == 100
    assert composed("experiment=vae_mnist_burda", "train.batch_size=64")["train"]["batch_size"] == 64
    mine = composed("model=vae", "optimizer=sgd", "optimizer.lr=0.5", "benchmark.repeats=3")
    assert (mine["optimizer"]["lr"], mine["benchmark"]["repeats"]) == (0.5, 3)
    assert {k: v for k, v in mine.items() if k not in ("benchmark", "optimizer")} == {
        k: v for k, v in configure("model=vae", "optimizer=sgd").items() if k != "optimizer"
    }


@pytest.mark.parametrize("hidden", [[7], [9, 5]])
def test_flops_of_an_update_of_a_multilayer_perceptron(hidden: list[int]) -> None:
    """2 a weight and example forwards, 4 backwards (for the weight and for its input), but 2 where the input is the data."""
    config = configure("model=ae", f"model.hidden={hidden}", "model.latent_dim=3", "train.batch_size=16")
    dataset = small_data("grey")
    steps = TrainingSteps(experiment_of(config, dataset))
    widths = [dataset.spec.dim, *hidden, 3, *reversed(hidden), dataset.spec.dim]
    weights = [a * b for a, b in pairwise(widths)]
    assert steps.flops() == 6 * sum(weights) - 2 * weights[0]
    steps.update()
    assert steps.flops() == 6 * sum(weights) - 2 * weights[0]


class Moments(GenerativeModel):
    """No optimizer and no autograd: it gathers moments and solves at the end of its loop, as PCA does."""

    supports = frozenset({"unit"})

    def __init__(self, data: DataSpec, *, yields: bool) -> None:
        super().__init__(data, None)
        self.yields = yields
        self.axes = torch.nn.Parameter(torch.eye(data.dim), requires_grad=False)

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        second = torch.zeros_like(self.axes)
        for batch in batches:
            x = batch.x.flatten(1)
            second += x.T @ x
            if self.yields:
                yield {"trace": second.trace()}
        self.axes.copy_(torch.linalg.eigh(second).eigenvectors)
        yield {"trace": second.trace()}

    def evaluate(self, batch: Batch) -> Metrics:
        return {"loss": batch.x.flatten(1).square().sum(1)}

    def sample_loop(self, n: int) -> Iterator[torch.Tensor]:
        yield (torch.rand(n, len(self.axes)) @ self.axes).clamp(0, 1).unflatten(1, self.data.shape)


class TwoPlayers(Model):
    """Two optimizers and several batches an update, as a WGAN."""

    supports = frozenset({"unit"})

    def __init__(self, data: DataSpec) -> None:
        super().__init__(data, None)
        self.critic, self.generator = torch.nn.Linear(data.dim, 1), torch.nn.Linear(2, data.dim)
        for name, part in (("critic", self.critic), ("generator", self.generator)):
            self.optimizers[name] = adam_recipe()(part.parameters())

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        stream = iter(batches)
        while critic_batches := [b for _ in range(3) if (b := next(stream, None)) is not None]:
            for batch in critic_batches:
                fake = self.generator(torch.randn(len(batch.x), 2)).detach()
                loss = self.critic(fake).mean() - self.critic(batch.x.flatten(1)).mean()
                self.descend(self.optimizers["critic"], loss)
            loss = -self.critic(self.generator(torch.randn(16, 2))).mean()
            yield {"loss": self.descend(self.optimizers["generator"], loss)}

    def evaluate(self, batch: Batch) -> Metrics:
        return {"critic": self.critic(batch.x.flatten(1)).flatten()}


@pytest.mark.parametrize("family", ["moments", "moments that yield once", "two players"])
def test_families_of_every_shape_can_be_measured(family: str) -> None:
    config = configure("train.batch_size=16", "train.examples=320", "device=cpu")
    dataset = small_data("grey")
    data = dataset.spec
    model = TwoPlayers(data) if family == "two players" else Moments(data, yields=family == "moments")
    figures = Benchmark(experiment_of(config, dataset, model), SECTION).run()
    fixed = {name: figure for name, figure in figures.items() if isinstance(figure, int | float)}
    assert set(figures) >= {"train/images_per_s", "train/flops_per_image", "time/products_s", "time/logging_s"}
    assert fixed["time/logging_s"] > 0
    assert ("sample/images_per_s" in figures) == (family != "two players")
    if family == "moments":
        assert fixed["train/flops_per_image"] == 2 * data.dim**2
        assert fixed["train/closing_s"] > 0  # the eigenvectors are no part of the images a second
    if family == "two players":  # three batches for the critic, each without a gradient for its input, one for both
        critic, generator = 16 * data.dim, 16 * 2 * data.dim
        per_update = 3 * (2 * generator + 4 * 2 * critic) + 6 * critic + 4 * generator
        assert fixed["train/flops_per_image"] == per_update / 48


def test_drawing_samples_leaves_the_training_as_it_was() -> None:
    """Rule 4 of the design holds here too: with and without samples in between, the same updates."""
    config, dataset = configure("model=vae", "device=cpu", "train.batch_size=16"), small_data("binary")
    ends = []
    for samples in (False, True):
        experiment = experiment_of(config, dataset)
        model = experiment.model
        torch.manual_seed(0)
        benchmark = Benchmark(experiment, SECTION)
        steps = TrainingSteps(experiment)
        for _ in range(3):
            steps.update()
            if samples:
                benchmark._sample(0.0)
                benchmark._flops_of_a_sample()
        ends.append((rng.get_state(torch.device("cpu"))["cpu"], next(model.parameters()).detach().clone()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_operations_are_sorted_by_what_they_do_and_where() -> None:
    kinds = {
        "products": [
            "aten::mm",
            "aten::addmm",
            "aten::convolution_backward",
            "aten::_scaled_dot_product_flash_attention",
        ],
        "random": ["aten::normal_", "aten::uniform_", "aten::bernoulli_", "aten::randperm", "aten::native_dropout"],
        "elementwise": ["aten::add", "aten::lgamma", "aten::upsample_bilinear2d", "aten::_fused_adam_", "aten::copy_"],
    }
    for kind, names in kinds.items():
        assert [classify(name) for name in names] == [kind] * len(names)
    for name in ("aten::view", "aten::t", "aten::empty", "AddmmBackward0", "genlab::data", "Optimizer.step#Adam.step"):
        assert classify(name) is None
    assert place(["aten::mul", "Optimizer.step#Adam.step"]) == "optimizer"
    assert place(["aten::uniform_", "aten::rand_like", "genlab::data"]) == "data"
    assert place(["aten::mm", "AddmmBackward0"]) == "elsewhere"


def test_the_parts_of_an_update_add_up_to_it() -> None:
    spent: dict[Any, float] = {
        ("products", "elsewhere"): 3.0,
        ("elementwise", "elsewhere"): 2.0,
        ("random", "data"): 1.0,
    }
    spent |= {("elementwise", "data"): 0.5, ("elementwise", "optimizer"): 0.25}
    kinds = breakdown(spent, {"data": 1.75, "optimizer": 0.5}, 10.0)
    assert kinds == {"products": 3, "elementwise": 2, "random": 1, "data": 0.75, "optimizer": 0.5, "rest": 2.75}
    on_gpu = breakdown(spent, {}, 10.0)
    assert on_gpu == {"products": 3, "elementwise": 2, "random": 1, "data": 0.5, "optimizer": 0.25, "rest": 3.25}


def test_flops_are_counted_by_the_formula_of_a_product() -> None:
    assert count_work(lambda: torch.ones(3, 4) @ torch.ones(4, 5)).flops == 2 * 3 * 4 * 5
    assert count_work(lambda: torch.ones(3, 4).exp()).flops == 0


def test_a_contest_compares_its_loops_within_a_round() -> None:
    """Also with a row that is faster than genlab's, and with something else than images."""
    assert set(FAMILIES) >= {"ais", "rbm", "vae"}
    called: list[str] = []

    def loop(name: str, seconds: float, count: int) -> dict[str, float]:
        called.append(name)
        return {name: seconds * count}

    rows = {"genlab": 0.02, "products": 0.01}
    loops = {name: partial(loop, name, seconds) for name, seconds in rows.items()}
    contest = Contest(
        title="", images=100, loops=loops, about=dict.fromkeys((*rows, "no such row"), ""), unit="temperatures"
    )
    rounds = rounds_of(contest, 100, 2)
    assert called == ["genlab", "products"] * 2 + [
        "products",
        "genlab",
    ]  # the warm-up, then another first in each round
    found = table(contest, 100, rounds)
    cells = {str(column.header): list(column.cells) for column in found.columns}
    assert cells["loop"] == ["genlab", "products"]
    assert cells["temperatures/s"] == ["50", "100"]
    assert cells["time / genlab"] == ["1.00", "0.50"]


def test_a_peer_that_is_not_installed_is_a_line() -> None:
    assert absent("torch") == []
    (line,) = absent("torch", "no_such_package")
    assert line.startswith("no_such_package is not installed and left out")


def test_the_programs_of_the_contests_are_no_families() -> None:
    """They are started as files, without this package."""
    assert "scripts" not in FAMILIES
    for program in SCRIPTS.glob("[!_]*.py"):
        assert "genlab" not in "".join(re.findall(r"^(?:import|from) .*$", program.read_text(), re.MULTILINE))
    assert set(PAIRS) == {program.stem for program in SCRIPTS.glob("[!_]*.py")}


def test_estimates_of_log_z_that_differ_end_the_contest() -> None:
    estimates = Estimates()
    estimates.add("genlab", TEMPERATURES, 500.0, 0.2)
    estimates.add("textbook", TEMPERATURES, 502.0, 0.2)
    with pytest.raises(AssertionError, match=r"510\.0 by textbook"):
        estimates.add("textbook", TEMPERATURES, 510.0, 0.2)
