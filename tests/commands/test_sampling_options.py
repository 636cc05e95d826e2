"""Options of sampling are the arguments of a family's sample_loop: a new one is understood, checked and shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from torch import Tensor

from genlab.cli import main
from genlab.config.types import Positive
from genlab.models.latent.vae import VAE
from tests.helpers.processes import assert_refused, call, strict_json


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "train.examples=600", "model.hidden=[16]", f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture
def _family_with_more_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def sample_loop(
        self: VAE,
        n: int,
        sampler: Literal["plain", "bright"] = "plain",
        factor: Positive | None = None,
        mean: bool | None = None,
    ) -> Iterator[Tensor]:
        for x in plain(self, n, mean=mean):
            yield (x * (factor or 1.0)).clamp(0, 1) if sampler == "plain" else 0 * x + 1

    plain = VAE.sample_loop
    monkeypatch.setattr(VAE, "sample_loop", sample_loop)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_family_with_more_options")
def test_a_new_option_needs_no_other_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for name, options in {"plain": [], "dark": ["+factor=0.5"], "bright": ["sampler=bright"]}.items():
        outcome = call(["sample", f"run={run}", "n=4", *options, f"hydra.run.dir={name}"], capsys)
        assert outcome.code == 0, outcome.err
        found[name] = np.load(Path(name) / "samples.npz")["samples"]
    np.testing.assert_allclose(found["dark"], 0.5 * found["plain"])
    assert (found["bright"] == 1).all()
    assert "factor: 0.5" in (Path("dark") / "sample.yaml").read_text()
    outcome = call(["evaluate", f"run={run}", "n=20", "k=1", "+factor=0.5"], capsys)
    assert outcome.code == 0, outcome.err
    assert strict_json((run / "evaluation" / "evaluation.json").read_text())["sampling"] == {"factor": 0.5}


@pytest.mark.usefixtures("_family_with_more_options")
@pytest.mark.parametrize("command", ["sample", "evaluate"])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("+factor=-1", ["factor=-1", "greater than 0"]),
        ("+factor=much", ["factor=much", "number"]),
        ("sampler=brigth", ["sampler=brigth", "did you mean 'bright'?"]),
        ("steps=3", ["steps=3", "model=vae has no such choice", "leave steps out"]),
        ("+colour=3", ["colour=3", "model=vae has no such choice"]),
        ("+mean=true", ["mean=True", "no such choice"]),
    ],
)
def test_mistakes_are_one_line(
    command: str, option: str, words: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(call([command, f"run={run}", option], capsys), *words)


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_help_shows_the_shared_keys_with_their_comments(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call([command, "--help"], capsys).out
    assert "  checkpoint: auto     # last | best; auto: best where" in shown
    assert "  guidance: null       # weight with which" in shown
    assert "conf/sampling.yaml" not in shown
    assert "train.batch_size" not in call(["benchmark", "--help"], capsys).out


def test_the_shared_file_is_no_group(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "sampling" not in call(["list"], capsys).out
    monkeypatch.setenv("COMP_LINE", "genlab sample sa")
    call(["-sc", "query=bash"], capsys)
    monkeypatch.setenv("COMP_LINE", "genlab sample s")
    completed = call(["-sc", "query=bash"], capsys).out
    assert "sampler=" in completed
    assert "sampling" not in completed
