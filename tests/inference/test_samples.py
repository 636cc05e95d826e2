"""Samples that go on from kept chains: drawing says from which, every chain takes its turn, and others have none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.cli import main
from genlab.inference.sampling import BLOCK, draw, draw_fewer
from genlab.models.base import GenerativeModel
from genlab.models.energy.ebm import EBM
from tests.error_bars import kept_chains
from tests.error_bars.study import study
from tests.helpers.processes import assert_refused, call, strict_json
from tests.helpers.support import configure, make_model, small_data


def test_samples_of_a_buffer_say_which_chain_they_go_on_from() -> None:
    data = small_data("vectors")
    model = make_model(configure("model=ebm", "model.buffer=60", "model.step=1e-12"), data.spec).eval()
    assert isinstance(model, EBM)
    samples = draw(model, BLOCK + 40, seed=3, steps=1)
    assert model.replay_buffer is not None
    assert samples.chain is not None
    assert samples.chains == 30, "the older half"
    assert set(samples.chain.bincount().tolist()) == {3, 4}, "each as often as the others"
    start = model.scaling.restore(model.replay_buffer.older_half())[samples.chain]
    torch.testing.assert_close(samples.x, start, atol=1e-3, rtol=0)  # they have hardly moved
    few = draw_fewer(model, 10, seed=3, steps=1)
    assert few.chain is not None
    assert torch.equal(few.chain, samples.chain[:10])
    assert not torch.equal(draw(model, 10, seed=4, steps=1).chain, few.chain)  # type: ignore[arg-type]
    assert draw(model, 10, seed=3, sampler="noise", steps=1).chain is None
    some = samples[:5]
    assert set(some.arrays(data.spec)) == {"samples", "chain_number"}
    assert some.chains == 5


@pytest.mark.parametrize(
    ("keys", "options", "chains"),
    [
        (["model.negative=pcd"], {}, 30),
        (["model.negative=tempered"], {}, 30),
        (["model.negative=tempered"], {"sampler": "tempered"}, None),
        (["model.negative=pcd"], {"sampler": "annealed"}, None),
        (["model.negative=cd"], {}, None),
        (["model.negative=pcd", "model.conditional=true"], {"labels": 1}, None),
    ],
)
@pytest.mark.parametrize("family", ["rbm", "gaussian_rbm"])
def test_samples_of_boltzmann_machines(
    family: str, keys: list[str], options: dict[str, Any], chains: int | None
) -> None:
    data = small_data("vectors" if family == "gaussian_rbm" else "binary")
    model = make_model(configure(f"model={family}", "model.chains=30", "model.hidden=4", *keys), data.spec).eval()
    assert isinstance(model, GenerativeModel)
    samples = draw(model, 70, seed=0, steps=2, **options)
    assert samples.chains == chains
    assert (samples.labels is None) == ("labels" not in options)


def test_errors_hold_for_samples_of_few_chains() -> None:
    """40 sets of chains that are exact draws. As independent ones the samples had half the error and less."""
    case = next(case for case in kept_chains.CASES if case.name.startswith("RBM"))
    for row in study(case, 40):
        assert 0.7 < row.scatter / row.stated < 1.4, row.measure
        assert abs(row.mean - row.truth) < 4 * row.scatter / 40**0.5, row.measure


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("machine") / "run"
    keys = ["model=rbm", "model.hidden=8", "model.chains=25", "train.examples=300"]
    assert main(["train", *keys, f"hydra.run.dir={run}"]) == 0
    return run


def test_chains_reach_the_output_and_the_files_and_come_back(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluate = ["evaluate", f"run={machine}", "n=100", "ais.temperatures=20", "ais.sweeps=2", "steps=2"]
    outcome = call(evaluate, capsys)
    assert outcome.code == 0, outcome.err
    assert "100 samples that go on from 25 chains" in outcome.out
    told = strict_json((machine / "evaluation" / "evaluation.json").read_text())
    assert told["chains"] == 25
    kept = dict(np.load(machine / "evaluation" / "samples.npz"))
    assert len(np.unique(kept["chain_number"])) == 25
    # The same samples from a file are judged alike; without their chains they have other errors.
    own = strict_json((machine / "metrics.json").read_text())
    found = {}
    for name, arrays in (("with", kept), ("without", {"samples": kept["samples"]})):
        np.savez(f"{name}.npz", **arrays)
        assert call(["evaluate", f"run={machine}", f"samples={name}.npz", f"hydra.run.dir={name}"], capsys).code == 0
        found[name] = strict_json((tmp_path / name / "metrics.json").read_text())
    for name in ("fid", "kid", "class_entropy", "nearest_train_distance"):
        assert found["with"][name]["stderr"] == pytest.approx(own[name]["stderr"], rel=1e-6), name
    assert found["without"]["nearest_train_distance"]["stderr"] != own["nearest_train_distance"]["stderr"]
    np.savez("short.npz", samples=kept["samples"], chain_number=kept["chain_number"][:-1])
    assert_refused(call(["evaluate", f"run={machine}", "samples=short.npz"], capsys), "chain_number", "each of the 100")
    np.savez("odd.npz", samples=kept["samples"], labels=np.full(100, 12))
    assert_refused(call(["evaluate", f"run={machine}", "samples=odd.npz"], capsys), "has no class 12", "0 to 9")
