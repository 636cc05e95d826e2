"""The Ising model: formulas against enumeration, the sampler against formulas, and generated configurations beside both."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.data.sources.array import Configurations, array
from genlab.data.sources.ising import Ising, ising
from genlab.data.splits import prepare
from genlab.errors import GenlabError
from genlab.evaluation.entries import Entry
from genlab.evaluation.evaluation import evaluate
from genlab.evaluation.findings import Findings
from genlab.inference.sampling import sampling_options
from genlab.lattice.exact import T_CRITICAL, Enumeration, onsager_energy, onsager_magnetisation, thermodynamics
from genlab.lattice.monte_carlo import Lattices, sample, thermalise
from genlab.lattice.observables import ALLOWED, correlation, energy, magnetisation
from genlab.lattice.statistics import block_length, blocks_of, derived, jackknife, primitives, too_short
from genlab.lattice.statistics import thermodynamics as measured
from genlab.models.base import GenerativeModel
from tests.helpers.evaluations import SETTINGS, observables
from tests.helpers.processes import assert_refused, call, strict_json
from tests.helpers.support import MODELS, configure, make_model
from tests.models.test_contract import build_class

TEMPERATURES = [1.8, T_CRITICAL, 3.0]
NAMES = tuple(ALLOWED)


def spins(x: npt.NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(2.0 * x - 1)


# What is known exactly


@pytest.mark.parametrize("temperature", [0.5, 1.0, *TEMPERATURES, 20.0])
def test_kaufman_agrees_with_the_sum_over_all_configurations(temperature: float) -> None:
    known, lattice = thermodynamics(4, temperature), Enumeration(4)
    E = lattice.energies
    assert known.log_z == pytest.approx(float(torch.logsumexp(-E / temperature, 0)), rel=1e-12)
    mean, square = (float(lattice.mean(temperature, E**k)) for k in (1, 2))
    assert known.energy == pytest.approx(mean / 16, rel=1e-9)
    assert known.specific_heat == pytest.approx((square - mean**2) / temperature**2 / 16, abs=1e-9)
    log_p = lattice.log_p(temperature)
    assert known.entropy == pytest.approx(-float((log_p.exp() * log_p).sum()), abs=1e-9)


def test_known_values() -> None:
    at = {side: thermodynamics(side, 2.269) for side in (4, 8, 16)}
    assert at[4].log_z == pytest.approx(15.522817, abs=1e-6)
    assert at[4].entropy == pytest.approx(4.4817, abs=1e-4)
    for side, e, c in ((4, -1.56577, 0.78319), (8, -1.49180, 1.1454), (16, -1.45334, 1.4982)):
        assert at[side].energy == pytest.approx(e, abs=1e-5)
        assert at[side].specific_heat == pytest.approx(c, abs=2e-4)
    lattice = Enumeration(4)
    assert float(lattice.mean(2.269, magnetisation(lattice.spins).abs())) == pytest.approx(0.84392, abs=1e-5)
    assert Ising(4, (2.269,)).exact("magnetisation", 2.269) == pytest.approx(0.84392, abs=1e-5)
    assert Ising(8, (2.269,)).exact("magnetisation", 2.269) is None


def test_large_lattices_approach_the_infinite_one() -> None:
    for temperature in (1.8, 3.0):
        assert thermodynamics(64, temperature).energy == pytest.approx(onsager_energy(temperature), abs=1e-8)
    for temperature in (T_CRITICAL, T_CRITICAL + 1e-9, 2.2691853, 2.269185):
        assert onsager_energy(temperature) == pytest.approx(-math.sqrt(2), abs=1e-5)
    assert thermodynamics(64, T_CRITICAL).energy == pytest.approx(-math.sqrt(2), abs=0.02)
    assert onsager_magnetisation(T_CRITICAL) == 0
    assert onsager_magnetisation(2.0) == pytest.approx(0.911319, abs=1e-6)


@pytest.mark.parametrize("temperatures", [(2.269,), (1.8, 2.269, 3.0)])
def test_probabilities_of_all_configurations_add_up_to_one(temperatures: tuple[float, ...]) -> None:
    truth = Ising(4, temperatures)
    states = truth.states()
    assert states is not None
    log_p = truth.log_prob(states)
    assert float(log_p.exp().sum()) == pytest.approx(1)
    entropy = truth.entropy()
    if len(temperatures) == 1:
        assert entropy == pytest.approx(-float((log_p.exp() * log_p).sum()))
    else:
        assert entropy is None


# Observables and their errors


def test_observables_of_known_configurations() -> None:
    up, stripes = torch.ones(4, 4), torch.tensor([1.0, -1.0]).repeat(4, 2)
    s = torch.stack([up, -up, stripes])
    assert energy(s).tolist() == [-2, -2, 0]
    assert magnetisation(s).tolist() == [1, -1, 0]
    assert correlation(s).tolist() == [[1, 1], [1, 1], [0, 1]]
    real = torch.randn(5, 6, 8, generator=torch.Generator().manual_seed(0))
    assert correlation(real).shape == (5, 3)
    assert torch.allclose(-2 * correlation(real)[:, 0], energy(real))


def test_errors_are_those_of_repeated_experiments_whether_states_are_independent_or_a_chain() -> None:
    generator = torch.Generator().manual_seed(0)
    lattice = Enumeration(4)
    p = lattice.log_p(2.269).exp()
    truth = derived(
        {name: lattice.mean(2.269, values) for name, values in primitives(lattice.spins, NAMES).items()}, 16, 2.269
    )
    for repeat in (1, 10):  # each state ten times in a row: a chain that moves at every tenth step
        deviations = []
        for _ in range(40):
            drawn = lattice.spins[torch.multinomial(p, 1000, replacement=True, generator=generator)]
            found = measured(drawn.repeat_interleave(repeat, 0), NAMES, 2.269)
            deviations.append([(one.value - float(truth[name])) / one.stderr for name, one in found.items()])
        spread = torch.tensor(deviations).square().mean(0).sqrt()
        assert bool((spread < 1.5).all()), f"{spread} with {repeat}"
        assert bool((spread > 0.6).all()), f"{spread} with {repeat}"


def test_blocks_are_as_long_as_the_correlations() -> None:
    generator = torch.Generator().manual_seed(0)
    independent = torch.randn(5000, generator=generator)
    assert block_length({"energy": independent}) <= 6
    assert 60 <= block_length({"energy": independent.repeat_interleave(20)}) <= 140  # tau = 20


def series(tau: float, length: float, generator: torch.Generator) -> Tensor:
    """Autoregressive values of variance 1 and of this integrated autocorrelation time, `length` such times."""
    phi = (tau - 1) / (tau + 1)
    noise = torch.randn(int(length * tau), dtype=torch.float64, generator=generator).tolist()
    values = [noise[0]]
    for z in noise[1:]:
        values.append(phi * values[-1] + math.sqrt(1 - phi**2) * z)
    return torch.tensor(values)


@pytest.mark.slow
@pytest.mark.parametrize(("times", "least", "most"), [(10, 0.70, 0.88), (100, 0.88, 0.98)])
def test_errors_of_correlated_configurations_cover_where_there_are_enough_of_them(
    times: int, least: float, most: float
) -> None:
    """Two standard errors over 200 chains, of a mean and of a variance: short chains cover too little, and it is said of them."""
    generator = torch.Generator().manual_seed(0)
    truth, hits = {"mean": 0.0, "variance": 1.0}, torch.zeros(2)
    for _ in range(200):
        x = series(8, times, generator)
        found = jackknife(
            lambda means: {"mean": means["x"], "variance": means["xx"] - means["x"].square()},
            {"x": x, "xx": x.square()},
            blocks_of({"x": x}),
        )
        hits += torch.tensor([abs(found[name].value - t) <= 2 * found[name].stderr for name, t in truth.items()])
    assert bool(((hits / 200 >= least) & (hits / 200 <= most)).all()), hits / 200


def test_a_chain_that_is_too_short_says_so() -> None:
    generator = torch.Generator().manual_seed(0)
    independent = torch.where(torch.rand(3000, 4, 4, generator=generator) < 0.5, 1.0, -1.0)
    assert too_short(independent, NAMES) is None
    slow = too_short(independent[:30].repeat_interleave(100, 0), NAMES)
    assert slow == pytest.approx(30, rel=0.5)
    assert too_short(independent.repeat_interleave(5, 0), NAMES) is None, "600 times"


# The sampler


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("side", [4, 8, 16, pytest.param(32, marks=pytest.mark.slow)])
def test_the_sampler_has_the_energy_and_specific_heat_of_kaufman(side: int, temperature: float) -> None:
    # On a large lattice 3,000 leave so few blocks that the error of the specific heat scatters with the value itself.
    x, report = sample(side, temperature, 24_000 if side == 32 else 3000, seed=1)
    found, known = measured(spins(x), NAMES, temperature), thermodynamics(side, temperature)
    for name, exact in (("energy", known.energy), ("specific_heat", known.specific_heat)):
        assert abs(found[name].value - exact) < 3 * found[name].stderr, name
    assert report.steps_between >= 3 * report.autocorrelation_time
    assert report.steps_discarded >= 20 * report.autocorrelation_time
    assert abs(float(magnetisation(spins(x)).mean())) < 4 / len(x) ** 0.5, "both signs are as frequent"


@pytest.mark.parametrize("kind", ["clusters", "sweep"])
def test_each_update_alone_has_the_distribution_of_the_enumeration(kind: str) -> None:
    lattices = Lattices(2000, 4, 3.0, seed=0)
    for _ in range(60):
        getattr(lattices, kind)()
    lattice = Enumeration(4)
    for values, of in ((lattices.observed()[0] * 16, lattice.energies), (np.abs(lattices.spins.sum((1, 2))), None)):
        each = of if of is not None else lattice.spins.sum((1, 2)).abs()
        for level in np.unique(each.numpy()):
            expected = float(lattice.mean(3.0, (each == level).double()))
            share = float((values.round() == level).mean())
            assert abs(share - expected) < 4.5 * math.sqrt(expected * (1 - expected) / 2000) + 1e-9, level


def test_hot_and_cold_starts_are_told_apart_until_they_agree() -> None:
    from genlab.lattice.monte_carlo import _starts_agree

    lattices = Lattices(64, 16, 1.5, seed=0)
    assert not _starts_agree(np.stack([lattices.observed()] * 2, 2))
    thermalise(lattices)
    assert _starts_agree(lattices.run(16))


# The data set


def test_configurations_are_kept_with_their_recipe_and_do_not_move(tmp_path: Path) -> None:
    options = {"root": str(tmp_path), "size": 4, "examples": 50, "seed": 0}
    raw = ising(temperature=[2.0, 3.0], **options)  # type: ignore[arg-type]
    files = sorted((tmp_path / "ising").glob("*.npz"))
    assert len(files) == 2
    recipe = json.loads(str(np.load(files[0])["recipe"]))
    assert (recipe["side"], recipe["temperature"], recipe["examples"]) == (4, 2.0, 50)
    assert raw.train.y is not None
    assert raw.train.y.tolist() == [0] * 50 + [1] * 50
    assert raw.train.x[torch.arange(100)].unique().tolist() == [0, 1]
    written = [file.stat().st_mtime_ns for file in files]
    alone = ising(temperature=3.0, **options)  # type: ignore[arg-type]
    assert torch.equal(alone.train.x[torch.arange(50)], raw.train.x[torch.arange(50, 100)])
    assert [file.stat().st_mtime_ns for file in files] == written
    (tmp_path / "ising" / files[0].name).write_bytes(b"no")
    with pytest.raises(GenlabError, match=r"cannot be read .* delete it, and it will be made anew"):
        ising(temperature=2.0, **options)  # type: ignore[arg-type]


def test_mistakes_of_the_lattice_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for override, words in (
        ("dataset.size=5", "dataset.size=5: the two colours of a checkerboard need an even side; set 4 or 6"),
        ("dataset.temperature=[2.0,2.0]", "dataset.temperature=[2.0, 2.0]: one is listed twice"),
        ("dataset.temperature=0", "dataset.temperature=0: should be"),
        ("model=gaussian_rbm", "model=gaussian_rbm cannot model binary data (dataset=ising)"),
    ):
        small = ["dataset.size=4", "dataset.examples=40", f"dataset.root={tmp_path}"]
        assert_refused(call(["train", "dataset=ising", *small, override], capsys), words)


# Generated configurations


def dataset_of(x: Tensor, truth: object, y: Tensor | None = None) -> Dataset:
    classes = None if y is None else int(y.max()) + 1
    raw = RawData("ising", Examples(x, y), None, 2, classes, truth)
    return prepare(raw, binarize="none", dequantize=False, validation=0.1, test=0.3)


def drawn_exactly(n: int, temperature: float, seed: int = 0) -> Tensor:
    """Independent configurations (n, 1, 4, 4) of 0 and 1."""
    lattice = Enumeration(4)
    generator = torch.Generator().manual_seed(seed)
    index = torch.multinomial(lattice.log_p(temperature).exp(), n, replacement=True, generator=generator)
    return ((lattice.spins[index] + 1) / 2).byte().unsqueeze(1)


def evaluated(name: str, dataset: Dataset, *overrides: str) -> Findings:
    torch.manual_seed(0)
    model = make_model(configure(f"model={name}", "dataset=ising", *overrides), dataset.spec).eval()
    return evaluate(model, dataset, replace(SETTINGS, n=200, noise=0.0), {})


def test_exact_samples_are_within_their_errors_and_others_are_not() -> None:
    dataset = dataset_of(drawn_exactly(6000, 2.269), Ising(4, (2.269,)))
    good, bad = (
        observables(dataset, drawn_exactly(4000, temperature, seed=1).float()).entries for temperature in (2.269, 2.4)
    )
    deviations = {name: one.deviation for name, one in good.items()}
    assert all(value is not None and abs(value) < 3.5 for value in deviations.values()), deviations
    assert abs(bad["energy"].deviation or 0) > 5
    assert {"energy", "specific_heat", "magnetisation", "susceptibility", "binder", "correlation_1"} <= set(good)
    exact = [one.exact for one in good.values()]
    assert None not in exact, "a lattice of 4 x 4 is known exactly"


def test_the_divergence_over_all_configurations_is_exact() -> None:
    """A machine whose weights are zero has q(x) = prod q(x_i), and KL = -H - sum_i E log q(x_i)."""
    dataset = dataset_of(drawn_exactly(2000, 2.269), Ising(4, (2.269,)))
    model = make_model(configure("model=rbm", "model.hidden=4", "model.average=0"), dataset.spec)
    from genlab.models.boltzmann.rbm import RBM

    assert isinstance(model, RBM)
    with torch.no_grad():
        model.W.zero_()
        model.a.zero_()
    found = evaluate(model.eval(), dataset, replace(SETTINGS, n=50, noise=0.0), {})
    divergence, entropy = found.entries["kl_divergence_exact"], thermodynamics(4, 2.269).entropy
    assert divergence.kind == "exact"
    assert divergence.stderr is None
    assert divergence.value == pytest.approx(16 * math.log(2) - entropy, abs=1e-5)
    assert found.entries["entropy"].value == pytest.approx(entropy)
    real = found.entries["log_likelihood_exact"].real
    assert real is not None
    assert abs(real.value + entropy) < 4 * real.stderr


def test_a_bound_on_the_likelihood_bounds_the_divergence() -> None:
    dataset = dataset_of(drawn_exactly(2000, 2.269), Ising(4, (2.269,)))
    entries = evaluated("vae", dataset, "model.hidden=[8]").entries
    assert entries["kl_divergence_iw_5"].kind == "upper bound"
    assert entries["kl_divergence_iw_5"].value < entries["kl_divergence_elbo"].value
    on_test = -entries["log_likelihood_iw_5"].value - thermodynamics(4, 2.269).entropy
    assert entries["kl_divergence_iw_5"].value == pytest.approx(on_test, abs=0.5)


@pytest.mark.parametrize("name", MODELS)
def test_every_family_for_binary_data_is_measured_or_says_why_not(name: str) -> None:
    y = torch.arange(2).repeat_interleave(100)
    x = torch.cat([drawn_exactly(100, 1.8), drawn_exactly(100, 3.0)])
    dataset = dataset_of(x, Ising(4, (1.8, 3.0)), y)
    family = build_class(name)
    if "binary" not in family.supports:
        with pytest.raises(GenlabError, match="cannot model binary data"):
            make_model(configure(f"model={name}", "dataset=ising"), dataset.spec)
        return
    told = "conditional" in configure(f"model={name}")["model"]
    model = make_model(configure(f"model={name}", *(["model.conditional=true"] if told else [])), dataset.spec).eval()
    if not isinstance(model, GenerativeModel):
        return
    options = sampling_options(model, dataset, {})
    assert ("labels" in options) == told
    found = observables(dataset, model.sample(40, **options), options.get("labels")).entries
    assert ("energy_T1.8" if told else "energy") in found
    for entry in found.values():
        assert isinstance(entry, Entry)
        assert math.isfinite(entry.value)


# The user's own simulation


def test_real_valued_configurations_are_measured_by_their_values(tmp_path: Path) -> None:
    np.save(tmp_path / "field.npy", chain(600).numpy())
    raw = array(path=str(tmp_path / "field.npy"), labels=None, observables=["energy", "correlation"], temperature=None)
    dataset = prepare(raw, binarize="none", dequantize=False, validation=0.1, test=0.3)
    assert dataset.spec.support == "real"
    x = torch.from_numpy(np.load(tmp_path / "field.npy")).unsqueeze(1)
    found = observables(dataset, x).entries
    assert found["energy"].value == pytest.approx(float(energy(x[:, 0]).mean()))
    assert {"correlation_1", "correlation_3"} <= set(found)
    assert "specific_heat" not in found, "that needs a temperature"


def test_classes_that_are_no_temperatures_do_not_part_the_test_split() -> None:
    x = drawn_exactly(600, 2.269)
    y = (x.float().mean((1, 2, 3)) > 0.5).long()
    truth = Configurations(["energy", "magnetisation"], None, spins=True)
    found, labelled = (observables(dataset_of(x, truth, y), x.float()).entries for y in (None, y))
    assert found["magnetisation"].real is not None
    assert found == labelled


def test_a_temperature_without_configurations_is_left_out_and_said() -> None:
    x = torch.cat([drawn_exactly(300, 1.8), drawn_exactly(300, 3.0)])
    y = torch.tensor([0, 2]).repeat_interleave(300)
    found = observables(dataset_of(x, Ising(4, (1.8, 2.269, 3.0)), y), x[:99].float(), [0, 1, 2])
    assert {"energy_T1.8", "energy_T3"} <= set(found.entries)
    assert "energy_T2.269" not in found.entries
    assert found.facts["temperatures_without_configurations"] == [2.269]


def chain(n: int, side: int = 6) -> Tensor:
    """States of one Markov chain of a free field: each is the last one, turned a little."""
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(side, side, generator=generator)]
    for _ in range(n - 1):
        states.append(0.9 * states[-1] + 0.19**0.5 * torch.randn(side, side, generator=generator))
    return torch.stack(states)


def test_own_configurations_are_measured_by_the_observables_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("spins.npy", np.sign(chain(600).numpy()).astype(np.int8))
    np.save("more.npy", np.sign(chain(400).numpy()))
    common = ["train", "dataset=array", "model=rbm", "train.examples=300", "train.sample_every=300", "device.threads=1"]
    looked_at = ["dataset.observables=[energy,magnetisation]", "dataset.temperature=2.0"]
    outcome = call([*common, "dataset.path=spins.npy", *looked_at, f"hydra.run.dir={tmp_path / 'run'}"], capsys)
    assert outcome.code == 0, outcome.err
    evaluation = ["evaluate", f"run={tmp_path / 'run'}", "samples=more.npy", "device.threads=1"]
    outcome = call([*evaluation, f"hydra.run.dir={tmp_path / 'compared'}"], capsys)
    assert outcome.code == 0, outcome.err
    assert "400 configurations against the test split" in outcome.out
    assert "errors       of the samples are too small" in outcome.out, "of 400 states with a time of 19"
    found = strict_json((tmp_path / "compared" / "metrics.json").read_text())
    for name in ("energy", "specific_heat", "magnetisation", "susceptibility"):
        assert found[name]["group"] == "observables"
        assert found[name]["exact"] is None
        assert math.isfinite(found[name]["deviation"])
    assert "correlation_1" not in found
    assert (tmp_path / "compared" / "evaluation" / "observables.png").exists()
    for override, words in (
        ("dataset.observables=[enrgy]", "dataset.observables=enrgy: did you mean 'energy'?"),
        ("dataset.temperature=2.0", "dataset.temperature=2.0: is for the specific heat"),
    ):
        assert_refused(call([*common, "dataset.path=spins.npy", override], capsys), words)
    np.save("line.npy", np.ones((50, 1, 16), np.int8) * np.array([-1, 1], np.int8).repeat(8))
    outcome = call([*common, "dataset.path=line.npy", "dataset.observables=[correlation]"], capsys)
    assert_refused(outcome, "lattices of 1x16 sites; set dataset.observables=null")
    np.save("vectors.npy", np.random.default_rng(0).normal(size=(50, 4)))
    outcome = call([*common, "dataset.path=vectors.npy", "dataset.observables=[energy]"], capsys)
    assert_refused(outcome, "are those of a lattice (N, H, W)", "holds shapes 4; set dataset.observables=null")
