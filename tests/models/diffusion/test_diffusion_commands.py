"""Sampling and evaluating a diffusion model, and a conditional one, as a user types it; and what they cannot do."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.processes import assert_refused, call, strict_json

SMALL = ("model=diffusion", "model.network=mlp", "model.hidden=[64]", "train.examples=20000")


def train(folder: Path, *overrides: str) -> Path:
    from genlab.cli import main

    assert main(["train", *SMALL, *overrides, f"hydra.run.dir={folder / 'run'}"]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("diffusion"))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("conditional"), "model.conditional=true")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outcome(*arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(list(arguments), capsys)
    assert found.code == 0, found.err


def test_the_way_from_noise_is_shown_and_moves(run: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome("sample", f"run={run}", "n=8", "sampler=heun", "steps=6", f"hydra.run.dir={here / 'out'}", capsys=capsys)
    states = np.load(here / "out" / "samples.npz")["chain"]
    assert states.shape == (7, 10, 1, 8, 8)  # noise, five levels and the sample
    with Image.open(here / "out" / "chain.gif") as film:
        assert film.n_frames == 7  # type: ignore[attr-defined]
    assert (here / "out" / "chain.png").exists()
    assert (here / "out" / "inpainting.png").exists()


@pytest.mark.slow
def test_classes_and_their_guidance(conditional: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for guidance in ("0", "1", "4"):
        out = here / guidance
        options = ["labels=[3]", f"guidance={guidance}", f"hydra.run.dir={out}"]
        outcome("sample", f"run={conditional}", "n=16", *options, capsys=capsys)
        found.append(np.load(out / "samples.npz")["samples"])
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[1], found[2])


def test_evaluation_has_every_term_the_flow_and_what_effort_brings(
    run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome("evaluate", f"run={run}", "n=40", "efforts=[3,6]", capsys=capsys)
    metrics = strict_json((run / "metrics.json").read_text())
    for name in ("reconstruction", "prior", "denoising"):
        assert metrics[f"{name}_bits_per_dim"]["value"] == pytest.approx(
            metrics[name]["value"] / 64 / np.log(2), rel=1e-6
        )
    total = metrics["reconstruction"]["value"] - metrics["prior"]["value"] - metrics["denoising"]["value"]
    assert metrics["bound"]["value"] == pytest.approx(total, rel=1e-4)
    assert metrics["log_likelihood_bound"]["kind"] == "lower bound"
    assert metrics["log_likelihood_flow"]["kind"] == "lower bound"  # of grey levels
    efforts = strict_json((run / "evaluation" / "evaluation.json").read_text())["efforts"]
    evaluations = {(effort["sampler"], effort["steps"]): effort["evaluations"] for effort in efforts}
    assert evaluations[("dpm_solver", 6)] == 6
    assert evaluations[("heun", 6)] == 11
    assert len(evaluations) == 8
    assert (run / "evaluation" / "efforts.png").exists()


@pytest.mark.parametrize(
    ("command", "options", "named"),
    [
        ("sample", ["sampler=euler"], ["sampler=euler", "dpm_solver"]),
        ("sample", ["eta=0.5", "sampler=heun"], ["eta=0.5", "sampler=ddim"]),
        ("sample", ["eta=2", "sampler=ddim"], ["eta=2"]),
        ("sample", ["guidance=2"], ["guidance=2", "model.conditional=true"]),
        ("sample", ["sampler=ancestral", "steps=2000"], ["steps=2000", "1000"]),
        ("evaluate", ["sampler=euler"], ["sampler=euler", "dpm_solver"]),
        ("evaluate", ["efforts=[1]"], ["efforts"]),
        ("evaluate", ["efforts=[2000]"], ["steps=2000"]),
        ("evaluate", ["fid_steps=[2000]"], ["steps=2000"]),
        ("evaluate", ["fid_steps=[1]"], ["fid_steps[0]=1"]),
        ("evaluate", ["fid_steps=[3]", "efforts=[4]"], ["fid_steps=[3]", "efforts=[4]", "one of the two"]),
        ("evaluate", ["guidance=-1"], ["guidance=-1", "greater than or equal to 0"]),
        ("sample", ["steps=0"], ["steps=0", "greater than 0"]),
    ],
)
def test_mistakes(
    command: str, options: list[str], named: list[str], run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(call([command, f"run={run}", *options], capsys), *named)
    assert not any(path.is_file() for path in here.rglob("*"))
