"""Runs of the commit before the files moved into rooms (d9af862): they are resumed, sampled, evaluated and compared as they are.

older_runs.tar.xz        three run folders, each stopped by SIGTERM at 160 of 320 examples
older_parameters.json.xz for each family a configuration, a data specification, and names and shapes of its parameters
"""

import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from genlab.cli import main
from genlab.config.targets import moved_parameters
from genlab.data.spec import DataSpec
from genlab.report.find import find_runs
from genlab.report.rows import make_rows
from genlab.report.tables import make_tables
from tests.helpers.processes import call, execute, info, records, strict_json
from tests.helpers.support import MODELS, make_model

HERE = Path(__file__).parent
FAMILIES = ("ebm", "rbm", "vae")
FEW = ["n=20", "k=2", "ais.chains=10", "ais.temperatures=30", "ais.sweeps=5"]
OLDER = json.loads(lzma.decompress((HERE / "older_parameters.json.xz").read_bytes()))


def extract(folder: Path) -> Path:
    with tarfile.open(HERE / "older_runs.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the three runs, each trained to its end in this process."""
    folder = extract(tmp_path_factory.mktemp("older"))
    torch.set_num_threads(1)
    for family in FAMILIES:
        assert main(["resume", str(folder / family)]) == 0
    return folder


@pytest.fixture
def here(resumed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    for family in FAMILIES:
        (tmp_path / family).symlink_to(resumed / family)
    return tmp_path


def test_they_name_what_has_moved_since(tmp_path: Path) -> None:
    """Else the tests below would show nothing."""
    for family in FAMILIES:
        config = yaml.safe_load((extract(tmp_path) / family / "config.yaml").read_text())
        assert config["model"]["_target_"] == f"genlab.models.{family}.{family.upper()}"
        assert config["dataset"]["_target_"] in ("genlab.data.digits.digits", "genlab.data.toy2d.toy2d")
        assert info(tmp_path / family)["state"] == "interrupted"
        assert records(tmp_path / family)[-1]["examples"] == 160


@pytest.mark.parametrize("family", FAMILIES)
def test_an_older_run_is_resumed_to_its_end(family: str, resumed: Path) -> None:
    assert info(resumed / family)["state"] == "finished"
    found = records(resumed / family)
    assert found[-1]["examples"] == 320
    assert any(name.startswith("test/") for name in found[-1])
    examples = [record["examples"] for record in found]
    assert examples == sorted(examples)
    assert examples[0] < 160
    halves = [
        {name for record in found if (record["examples"] > 160) == late for name in record} for late in (False, True)
    ]
    assert {name for name in halves[0] if name.startswith("train/")} == {
        name for name in halves[1] if name.startswith("train/")
    }


@pytest.mark.slow
def test_an_older_run_is_resumed_by_a_process(tmp_path: Path) -> None:
    extract(tmp_path)
    outcome = execute(["resume", "vae"], tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert info(tmp_path / "vae")["state"] == "finished"


@pytest.mark.parametrize("family", FAMILIES)
def test_an_older_run_is_sampled(family: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["sample", f"run={family}", "n=20", "hydra.run.dir=samples"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert {"samples.png", "samples.npz"} <= {path.name for path in (here / "samples").iterdir()}


@pytest.mark.parametrize(
    "family", [pytest.param(one, marks=() if one == "vae" else pytest.mark.slow) for one in FAMILIES]
)
def test_an_older_run_is_evaluated_and_stands_in_one_table_with_a_new_one(
    family: str, resumed: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new one has the same configuration and another seed: then both are one row, with mean and spread."""
    given = yaml.safe_load((resumed / family / ".hydra" / "overrides.yaml").read_text())
    assert call(["train", *given, "seed=1", "hydra.run.dir=new"], capsys).code == 0
    for run in (family, "new"):
        outcome = call(["evaluate", f"run={run}", *FEW], capsys)
        assert outcome.code == 0, outcome.err
    old, new = (strict_json((here / run / "metrics.json").read_text()) for run in (family, "new"))
    assert old.keys() == new.keys()
    assert all(old[name]["unit"] == new[name]["unit"] and old[name]["kind"] == new[name]["kind"] for name in old)

    outcome = call(["compare", family, "new", "--out", "page"], capsys)
    assert outcome.code == 0, outcome.err
    (row,) = make_rows(find_runs([family, "new"])[0]).rows
    assert row.seeds == "0, 1"
    for table in make_tables([row]):
        for line in table.lines:
            assert all(cell is None or cell.seeds == 2 for cell in line.cells), line


@pytest.mark.parametrize("family", MODELS)
def test_parameters_of_an_older_run_have_their_place(family: str) -> None:
    """Every name of then leads to one of now, in the same order and of the same shape, and none is left over."""
    if family not in OLDER:
        pytest.skip(f"{family} is newer than that commit")
    older: dict[str, Any] = OLDER[family]
    data = {key: torch.tensor(value) if key in ("mean", "std") else value for key, value in older["data"].items()}
    model = make_model(older["config"], DataSpec.from_state_dict(data))
    names = {name: torch.zeros(shape) for name, shape in older["parameters"].items()}
    model.load_state_dict(names, strict=True)
    for name, value in model.state_dict().items():
        assert not value.any(), name
    moved = moved_parameters(type(model).__name__, names)
    parameters = dict(model.named_parameters())
    # The state of an optimizer knows its parameters by their position.
    assert [moved.get(name, name) for name in names if moved.get(name, name) in parameters] == list(parameters)
