"""A fault in a model of one's own: the user's frames, without those of genlab, and one line."""

from pathlib import Path

import pytest

from tests.helpers.own_models import CONFIGURATION, FAMILY
from tests.helpers.processes import Outcome, execute, info

HELPER = "import torch\n\n\ndef twist(x):\n    return torch.nn.functional.linear(x, torch.ones(3, 5))\n"
OWN = ("--config-dir", "conf")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(CONFIGURATION)
    (tmp_path / "helper.py").write_text(HELPER)
    return tmp_path


def train(folder: Path, code: str, *words: str) -> Outcome:
    (folder / "mine.py").write_text(code)
    return execute(["train", "model=mine", *OWN, "train.examples=1000", *words], folder)


def assert_theirs_only(outcome: Outcome, *lines: str) -> None:
    *frames, last = outcome.err.splitlines()
    assert outcome.code == 2
    assert frames[0] == "genlab: in code of your own:"
    assert not any("/genlab/" in frame or "site-packages" in frame for frame in frames), outcome.err
    assert last.startswith("genlab: error: ")
    for line in lines:
        assert line in outcome.err


def test_in_the_training_loop(folder: Path) -> None:
    loop = "        for batch in batches:\n"
    outcome = train(
        folder,
        FAMILY.replace(loop, f"{loop}            helper.twist(batch.x)\n", 1).replace(
            "import torch", "import torch\nimport helper", 1
        ),
        "hydra.run.dir=run",
    )
    assert_theirs_only(
        outcome,
        "in train_loop\n    helper.twist(batch.x)",
        "in twist",
        "RuntimeError in twist (helper.py, line 5): mat1",
    )
    assert info(folder / "run")["state"] == "failed"
    again = execute(["resume", "run", *OWN], folder)
    assert_theirs_only(again, "RuntimeError in twist (helper.py, line 5)")


def test_in_a_sweep_each_job_says_its_own(folder: Path) -> None:
    code = FAMILY.replace("        yield torch.bernoulli", "        n / 0\n        yield torch.bernoulli")
    outcome = train(folder, code, "-m", "seed=0,1", "hydra.sweep.dir=sweep")
    assert outcome.err.count("in sample_loop\n    n / 0") == 2
    assert outcome.err.count("failed: ZeroDivisionError in sample_loop (mine.py, line") == 2
    assert "Traceback" not in outcome.err


@pytest.mark.slow
def test_in_the_constructor_and_when_it_is_imported(folder: Path) -> None:
    code = FAMILY.replace(
        "        super().__init__(data, optimizer)\n",
        "        super().__init__(data, optimizer)\n        self.b = data.size\n",
    )
    assert_theirs_only(train(folder, code), "AttributeError in __init__ (mine.py, line", "no attribute 'size'")
    assert_theirs_only(train(folder, f"{FAMILY}\n\nlost\n"), "NameError in <module> (mine.py, line")
    assert not list(folder.glob("outputs/**/run.json"))


def test_a_mistake_that_genlab_names_keeps_its_line(folder: Path) -> None:
    outcome = train(folder, FAMILY, "model.log_odds=many")
    assert outcome.err.splitlines() == ["genlab: error: model.log_odds=many: should be a number"]
