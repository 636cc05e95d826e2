"""Files and folders whose names have characters with a meaning for a shell, or for Hydra's grammar, as shells hand them over."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np
import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from genlab.cli import main
from genlab.commands import dashboard
from genlab.commands.compare import parse
from genlab.composition.catalogue import names
from genlab.composition.words import TEXT, pasteable, readable
from genlab.config.schema import keys_of
from genlab.config.targets import locate
from genlab.interface.evaluation_run import keys as evaluate_keys
from genlab.interface.sampling_run import keys as sample_keys
from genlab.report.find import find_runs
from genlab.report.read_runs import Run
from tests.helpers.override_lists import section_of
from tests.helpers.processes import Outcome, assert_refused, call

ODD = ["a=b", "a#b", "a&b", "a,b", "d'or", "café", "a(b)", "a[b]", "a{b}", "a;b", "a!b", "a~b", "a b", "-a", "1e3"]
SMALL = ["model=pca", "train.batch_size=16", "dataset.validation=0"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with points.npy, and `run`, trained on it."""
    folder = tmp_path_factory.mktemp("odd")
    torch.set_num_threads(1)
    np.save(folder / "points.npy", np.random.default_rng(0).normal(size=(60, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "dataset=array", "dataset.path=points.npy", *SMALL, "hydra.run.dir=run"]) == 0
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return tmp_path


@pytest.mark.parametrize("key", TEXT)
@pytest.mark.parametrize(
    "value", [*ODD, "a\\b", "a\\", "it\\'s", '"', "x y ", "true", "[a]", "${a", "a/b,c", "007", "=a"]
)
def test_a_path_or_a_name_is_the_text_that_was_typed(key: str, value: str, here: Path) -> None:
    (here / "a,b").touch()
    for sweeping in (False, True):
        (found,) = OverridesParser.create().parse_overrides([readable(f"{key}={value}", sweeping)])
        if value == "a,b" or "," not in value or (not sweeping and value != "a/b,c"):
            assert found.value() == value
        else:
            assert found.is_sweep_override() or key == "note" or key.startswith("hydra.")
    assert readable(f"{key}=null", False) == f"{key}=null"


def _texts() -> Iterator[str]:
    """Every key whose value is any text, in the configurations of all commands."""

    def of(prefix: str, target: Any) -> Iterator[str]:
        for name, (hint, _) in keys_of(target).items():
            if hint is str or (str in get_args(hint) and get_origin(hint) in (Union, UnionType)):
                yield prefix + name

    yield from of("", evaluate_keys)
    yield from of("", sample_keys)
    for group in ("dataset", "model"):
        for name in names(group):
            target = locate(section_of(group, name)["_target_"], group)
            yield from of(f"{group}.", target)
            if hasattr(target, "sample_loop"):
                yield from of("", target.sample_loop)


def test_every_key_that_takes_a_text_is_known() -> None:
    assert set(_texts()) <= set(TEXT)


def test_data_and_a_run_in_a_folder_of_an_odd_name(
    original: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = "-a=b #&,d'or café([{;!~ 1"
    run = f"{folder}/run=1"
    shutil.copytree(original, here / folder)
    words = ["dataset=array", f"dataset.path={folder}/points.npy"]
    assert_succeeds(call(["train", *words, *SMALL, f"hydra.run.dir={run}"], capsys))
    config = yaml.safe_load((here / run / "config.yaml").read_text())
    assert config["dataset"]["path"] == str(here / folder / "points.npy")
    assert_succeeds(call(["resume", run, words[1]], capsys))
    outcome = call(["sample", f"run={run}", "n=2", words[1], f"hydra.run.dir={folder}/s"], capsys)
    assert_succeeds(outcome)
    assert f"PCA of {run}, last" in outcome.out
    assert f"  {folder}/s/samples.npz" in outcome.out
    assert (here / folder / "s" / "samples.npz").exists()


def assert_succeeds(outcome: Outcome) -> None:
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("name", ODD)
def test_a_run_of_any_name_is_found(
    name: str, original: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(original / "run", here / name)
    for words in ([name], [f"run={name}"], [f"{name}/../{name}"], ["--", name]):
        outcome = call(["resume", *words], capsys)
        assert_succeeds(outcome)
        assert "is finished already" in outcome.out
    for words in ([name], [f"my run={name}"], ["--", name]):
        (run,), _ = find_runs(parse(words)[0])
        assert isinstance(run, Run)
        assert run.path == Path(name)
        assert run.name == words[0].rpartition(name)[0].rstrip("=")
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, words: started.append(words))
    dashboard.main([name])
    assert f"--logdir={name}" in started[0]


@pytest.mark.slow
def test_sweeps_and_evaluations_of_odd_names(original: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(original / "points.npy", "a,b.npy")
    words = ["-m", "seed=0", "dataset=array", "dataset.path=a,b.npy", *SMALL]
    assert call(["train", *words, "hydra.sweep.dir=of d'or"], capsys).code == 0
    assert len(list(here.glob("of d'or/*/config.yaml"))) == 1
    shutil.copytree(original / "run", here / "a;b")
    assert_succeeds(call(["evaluate", "run=a;b", "n=20", "dataset.path=a,b.npy"], capsys))
    assert (here / "a;b" / "metrics.json").exists()
    (here / "c=d").mkdir()
    assert_refused(call(["train", "--config-dir", "c=d", "model=vea"], capsys), "did you mean 'model=vae'?")


@pytest.mark.parametrize(
    "word", ["seed=a#b", "train.batch_size=d'or", "model.hidden=[1,2", "optimizer.lr=café", "seed=$(x"]
)
def test_other_values_are_shown_as_they_can_be_typed(word: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In quotes for the shell; and with quotes for Hydra, with which it is read."""
    outcome = call(["train", word], capsys)
    assert_refused(outcome, f"error: {shlex.quote(word)}: ", pasteable(word))
    assert "Exception" not in outcome.err
    assert "Error" not in outcome.err
    (again,) = shlex.split(pasteable(word))
    assert_refused(call(["train", again], capsys), f"{word}: ", "should be")
    for bad in ("se#d=3", "a b=3"):
        assert_refused(call(["train", bad], capsys), f"{shlex.quote(bad)}: {shlex.quote(bad[:-2])} is no key")


def test_a_word_with_a_sign_of_equality_may_be_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(["resume", "a=b/run"], capsys), "run=a=b/run: there is no such folder")
    assert_refused(call(["resume", "nowhere", "seed=3"], capsys), "run=nowhere")
