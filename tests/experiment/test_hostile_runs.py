"""Run folders of a stranger: whatever lies in them, nothing is executed, and nothing outside of them is written."""

import csv
import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from genlab.composition.explain import explain
from genlab.composition.resolvers import register, run_name
from genlab.config.targets import ALLOW, allow, locate
from genlab.data.download import DownloadError, foreign_root, locked
from genlab.data.places import foreign_root_of
from genlab.errors import GenlabError
from genlab.experiment.opening import open_run
from genlab.models.base import GenerativeModel
from genlab.report.galleries import read_png
from genlab.tracking.run_folder import RunFolder
from tests.helpers.mutations import (
    VARIANTS,
    answers_well,
    campaign,
    cases,
    command,
    craft_configuration,
    craft_file,
    make_runs,
    write_bomb,
)
from tests.helpers.processes import assert_refused, call, files
from tests.helpers.support import CPU

EVIL = "from pathlib import Path\nPath('executed').touch()\ndef build(**keys): Path('executed').touch()\nclass Model: pass\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    return make_runs(tmp_path_factory.mktemp("runs"), ("vae",))


@pytest.fixture
def run(trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder in the working folder, beside a module that would betray itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ALLOW, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "evil.py").write_text(EVIL)
    shutil.copytree(trained["vae"], tmp_path / "run")
    return Path("run")


def craft(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The same change of the configuration in config.yaml and in the checkpoints."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    change(config)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    for path in run.glob("checkpoints/*.pt"):
        torch.save({**torch.load(path), "config": config}, path)


def name_target(section: str, target: object, config: dict[str, Any]) -> None:
    config[section] |= {"_target_": target, "arguments": ATTACK}


ATTACK = ["train", "train.examples=300", "hydra.run.dir=elsewhere"]
OPENING = ("resume", "evaluate", "sample")


# What a section may build


@pytest.mark.parametrize("section", ["dataset", "model", "optimizer"])
def test_a_run_folder_has_nothing_called_and_nothing_imported(
    section: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for target in ("evil.build", "os.system", "genlab.models.base.Model", "genlab.cli.main"):
        craft(run, partial(name_target, section, target))
        before = files(run)
        for name in OPENING if target == "genlab.cli.main" else ("resume",):
            refused = call(command(name, run), capsys)
            assert_refused(refused, f"{section}._target_={target} is no {section} of genlab")
        assert files(run) == before
    assert not Path("elsewhere").exists()
    assert not Path("executed").exists()
    assert "evil" not in sys.modules


def test_nor_has_a_description_of_layers_inside_a_model(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(config: dict[str, Any]) -> None:
        keys = {
            "network": "ffnn",
            "hidden": None,
            "activation": "relu",
            "dropout": 0.0,
            "label_smoothing": 0.0,
            "shift": 0,
        }
        trunk = {"model": {"_target_": "evil.build"}, "data": {"shape": [1, 8, 8]}}
        start = {"start": "run", "reset": False, "frozen": False, "trunk": trunk}
        config["model"] = {"_target_": "genlab.models.Classifier", **keys, **start}

    craft(run, change)
    outcome = call(command("evaluate", run), capsys)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("target", "section"),
    [("genlab.optimizers.adam", "model"), ("genlab.models.VAE", "dataset"), ("genlab.models.FAMILIES", "model"),
     ("torch.nn.Linear", "model"), ("torch.optim.SGD", "optimizer"), ("genlab.models.VAE ", "model"), (None, "model"),
     (3, "model"), (["genlab.models.VAE"], "model"), ("genlab.models.VAE", "layer")],
)  # fmt: skip
def test_each_section_builds_its_own_kind_only(target: object, section: str) -> None:
    with pytest.raises(GenlabError, match=f"is no {section} of genlab"):
        locate(target, section)


def test_code_of_the_users_own_is_allowed_by_the_user(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command line or the environment; what is no model is not called even then."""
    craft(run, lambda config: config["model"].update(_target_="evil.Model"))
    assert_refused(call(command("evaluate", run), capsys), "add allow=evil.Model")
    outcome = call([*command("evaluate", run), "allow=evil.Model"], capsys)
    assert_refused(outcome, "model._target_=evil.Model is no subclass of genlab.models.base.Model")
    assert f"evil.Model is code of your own: {Path('evil.py').absolute()}" in outcome.out
    assert_refused(call(command("evaluate", run), capsys), "add allow=evil.Model")  # it held for one command
    allow("evil.Model")
    assert_refused(call(command("sample", run), capsys), "is no subclass")
    for target in ("os.nothing", "nowhere.Model"):
        allow(target)
        with pytest.raises(GenlabError, match="there is no such class or function"):
            locate(target, "model")
    allow("os.getcwd")
    with pytest.raises(GenlabError, match="is not a class or function"):
        locate("os.getcwd", "dataset")


# Other ways in


def test_keys_of_hydra_and_interpolations_in_a_stored_configuration_do_nothing(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hydra = {"callbacks": {"x": {"_target_": "evil.build"}}, "job_logging": {"()": "evil.build", "version": 1}}
    hydra |= {"launcher": {"_target_": "evil.build"}, "run": {"dir": "elsewhere"}}
    (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    monkeypatch.setenv("SECRET", "hunter2")
    craft(run, lambda config: config.update(name="${oc.env:SECRET}"))
    for name in ("sample", "compare"):
        outcome = call(command(name, run), capsys)
        assert outcome.code == 0, outcome.err
        assert "hunter2" not in outcome.out
    assert all(b"hunter2" not in content for content in files(Path("out")).values())
    craft(run, lambda config: config.update(hydra=hydra))
    assert_refused(call(command("evaluate", run), capsys), "hydra is not a key of the configuration")
    assert not Path("executed").exists()
    assert not Path("elsewhere").exists()


@pytest.mark.parametrize("target", ["x./../../../etc", "x.${oc.env:HOME}", "x.\x1b]0;y", "", None, ["a"]])
def test_the_name_of_an_output_folder_is_one_word(target: object, run: Path) -> None:
    register()
    craft(run, lambda config: config["model"].update(_target_=target))
    assert re.fullmatch(r"[\w-]{1,80}", run_name(str(run)))


def test_a_pickled_file_is_not_unpickled_on_anyones_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(["train", "--experimental-rerun", "config.pickle"], capsys), "executes what a file holds")


def test_the_dashboard_takes_no_program_from_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    call_dashboard = __import__("genlab.commands.dashboard", fromlist=["main"]).main
    call_dashboard([str(tmp_path)])
    assert started[0][1:4] == ["-P", "-m", "tensorboard.main"]


HOSTILE_NAMES = ["<script>alert(1)</script>", "\x1b]0;title\x07\x1b[2J", '"><img src=x onerror=alert(1)>', "=cmd|' /C calc'!A0",
                 "\\input{/etc/passwd}", "$x_{$", "[red]{{ 7 * 7 }}", "\u202eabc"]  # fmt: skip


def test_names_from_a_run_are_text_everywhere(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = " ".join(HOSTILE_NAMES)
    craft(run, lambda config: config["model"].update(hidden=HOSTILE_NAMES))
    info = json.loads((run / "run.json").read_text())
    info |= {
        "name": "=1+1" + names,
        "overrides": [f"model.x={names}"],
        "versions": {names: names},
        "git": {"commit": names},
    }
    info |= {"warnings": [{"name": names, "evidence": names, "remedy": names}], "command": HOSTILE_NAMES}
    (run / "run.json").write_text(json.dumps(info))
    metrics = json.loads((run / "metrics.json").read_text())
    odd = {name: {"value": 1.0, "stderr": 0.1, "unit": name, "kind": "sample"} for name in HOSTILE_NAMES}
    (run / "metrics.json").write_text(json.dumps({**metrics, **odd}))
    outcome = call(command("compare", run), capsys)
    assert outcome.code == 0, outcome.err
    assert not set(outcome.out + outcome.err) & set("\x1b\x07\u202e")
    page, table = (Path("out", file).read_text() for file in ("index.html", "table.tex"))
    assert not any(word in page for word in ("<script>alert", "<img src=x", "\x1b", "\u202e"))
    assert "\\input" not in table
    with Path("out", "runs.csv").open(newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert any(cell.startswith("'=1+1") for cell in cells)
    assert not any(cell.startswith("=") for cell in cells)


# Links and sizes


INSIDE = ("metrics.jsonl", "run.json", "config.yaml", "samples", "tensorboard", "checkpoints", ".lock", "more")


def test_a_link_that_leads_out_of_the_folder_is_refused(
    trained: dict[str, Path], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in INSIDE:
        shutil.rmtree(run)
        shutil.copytree(trained["vae"], run)
        outside, own = Path(f"outside-{name}").absolute(), run / name
        if own.is_dir():
            shutil.move(own, outside)
        elif own.exists():
            shutil.copy(own, outside)
        else:
            outside.write_text("precious")
        own.unlink(missing_ok=True)
        own.symlink_to(outside)
        before = files(Path())
        for what in (*OPENING, "compare") if name == "samples" else ("resume",):
            assert_refused(call(command(what, run), capsys), f"{name} is a link that leads out of the folder")
        assert RunFolder(run).state in ("interrupted", "running")  # which looks at the lock
        assert files(Path()) == before


def test_links_within_a_folder_and_to_a_folder_are_taken(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "tensorboard" / "again").symlink_to(run.absolute() / "samples")
    Path("other").symlink_to(run)
    assert call(command("sample", Path("other")), capsys).code == 0


def test_a_pipe_does_not_keep_a_command_waiting(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "metrics.json").unlink()
    os.mkfifo(run / "metrics.json")
    assert_refused(call(command("compare", run), capsys), "metrics.json is neither a file nor a folder")


def test_data_sets_are_not_completed_where_only_a_run_folder_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = str(tmp_path / "theirs")
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    assert foreign_root_of({"root": theirs}, {}) == theirs
    assert foreign_root_of({"root": theirs}, {"root": theirs}) is None
    assert foreign_root_of({"root": None}, {}) is None
    monkeypatch.setenv("GENLAB_DATA", theirs)
    assert foreign_root_of({"root": theirs}, {}) is None
    token = foreign_root.set(theirs)
    try:
        with (
            pytest.raises(DownloadError, match="only the run folder names"),
            locked(tmp_path / "theirs" / "mnist" / "x.gz"),
        ):
            raise AssertionError
        with locked(tmp_path / "mine" / "x.gz"):
            pass
    finally:
        foreign_root.reset(token)
    assert not Path(theirs).exists()


def test_a_picture_of_a_run_is_not_decoded_to_any_size(tmp_path: Path) -> None:
    for side in (8_000, 60_000):
        write_bomb(tmp_path / "bomb.png", side)
        assert read_png(tmp_path / "bomb.png") is None


# Mutations


def test_damaged_and_crafted_runs_are_answered_by_one_line_or_a_correct_run(trained: dict[str, Path]) -> None:
    found = [case for case, _ in zip(cases(trained, seed=0), range(8), strict=False)]
    assert [case for case in found if not answers_well(case[-1])] == []
    assert {case[-1].code for case in found} == {0, 2}, "else the mutations are too weak, or too strong"


def test_crafted_checkpoints_are_opened_or_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    """Without the commands around, so that there can be many."""
    dice, refused, count = random.Random(0), 0, 80
    unexplained: list[tuple[str, Exception]] = []
    for k in range(count):
        run = tmp_path / str(k)
        (run / "checkpoints").mkdir(parents=True)
        for name in ("config.yaml", "checkpoints/last.pt"):
            shutil.copy(trained["vae"] / name, run / name)
        what = craft_configuration(run, dice) if k % 3 == 0 else craft_file(run / "checkpoints" / "last.pt", dice)
        try:
            model = open_run(RunFolder(run), CPU, "last").model
            assert isinstance(model, GenerativeModel)
            model.sample(2)
        except Exception as error:
            refused += 1
            unexplained += [] if explain(error, "sample") else [(what, error)]
    assert unexplained == []
    assert count / 4 < refused < count


@pytest.mark.slow
def test_two_thousand_mutations() -> None:
    assert set(VARIANTS) >= {"vae", "rbm", "classifier", "gan", "pca", "points"}
    assert campaign(2000, seed=1) == 0
