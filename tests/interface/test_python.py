"""The Python interface: the figures and the lines of the command line, and a process that stays as it was."""

import contextlib
import csv
import json
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose as compose_by_hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import genlab
from genlab.errors import in_one_line
from tests.helpers.processes import CLOCK, call, environment

SHORT = ("model=vae", "dataset=digits", "train.examples=3000", "model.hidden=[32]")
TIMES = ("sampling_images_per_s", "training_seconds", "peak_memory_mb")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("python")


@pytest.fixture(autouse=True)
def _here(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


@pytest.fixture(scope="module")
def run(work: Path) -> genlab.Run:
    before = Path.cwd()
    os.chdir(work)
    try:
        return genlab.train(*SHORT, seed=5, name="first", show=False)
    finally:
        os.chdir(before)


def surroundings() -> tuple[Any, ...]:
    """Everything global that a caller may rely on."""
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
        random.getstate(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        dict(os.environ),
        Path.cwd(),
        list(sys.path),
        list(sys.argv),
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    )


def records(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]


def test_every_call_leaves_the_process_as_it_was(work: Path) -> None:
    torch.set_num_threads(1)
    before = surroundings()
    found = genlab.train(*SHORT, "device.threads=2", "device.precision=fp32", show=False)
    assert surroundings() == before
    for use in (
        lambda: found.sample(8),
        lambda: found.pictures(8),
        lambda: found.evaluate(n=30, k=5),
        lambda: (found.model, found.dataset, found.history, found.figures, found.metrics),
        lambda: genlab.compare(found).rows(),
        lambda: genlab.train("model=vea"),
        lambda: found.sample(0),
    ):
        with contextlib.suppress(genlab.GenlabError):
            use()
        assert surroundings() == before


def test_the_callers_own_hydra_stays(work: Path) -> None:
    OmegaConf.register_new_resolver("slug", lambda: "mine", replace=True)
    GlobalHydra.instance().clear()
    Path("own").mkdir()
    Path("own/mine.yaml").write_text("lr: 3\n")
    with initialize_config_dir(str(Path("own").absolute()), version_base="1.2"):
        mine = GlobalHydra.instance()
        genlab.train(*SHORT, show=False)
        assert GlobalHydra.instance() is mine
        assert compose_by_hydra("mine").lr == 3
    assert OmegaConf.create({"a": "${slug:}"}).a == "mine"
    OmegaConf.clear_resolver("slug")


def test_python_and_the_command_line_give_the_same_figures(
    work: Path, run: genlab.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["train", *SHORT, "seed=5", "hydra.run.dir=typed"], capsys).code == 0
    assert records(Path("typed")) == records(run.path)
    assert call(["sample", "run=typed", "n=70", "seed=3", "hydra.run.dir=drawn"], capsys).code == 0
    with np.load("drawn/samples.npz") as drawn:
        assert np.array_equal(run.sample(70, seed=3).numpy(), drawn["samples"])
    assert call(["evaluate", "run=typed", "n=60", "seed=2", "k=7"], capsys).code == 0
    measures = run.evaluate(60, seed=2, k=7)
    typed = json.loads(Path("typed/metrics.json").read_text())
    assert list(measures) == list(typed)
    for name, entry in typed.items():
        if name not in TIMES:
            assert (measures[name].value, measures[name].stderr) == (entry["value"], entry["stderr"]), name
    assert run.metrics == measures


def test_the_run_is_one_of_the_command_line(work: Path, run: genlab.Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert (run.state, run.name, run.seed, run.info["command"][:2]) == (
        "finished",
        "first",
        5,
        ["genlab.train", "model=vae"],
    )
    assert (run.path / ".hydra" / "overrides.yaml").exists()
    assert call(["sample", "run=first", "n=3"], capsys).code == 0
    assert genlab.load("first").path == run.path
    assert genlab.load(run.path).config == run.config


def test_two_runs_in_one_process_are_those_of_two_processes(work: Path) -> None:
    words = ("model=rbm", "dataset=digits", "train.examples=2000", "model.hidden=16")
    alone = genlab.train(*words, show=False)
    genlab.train(*SHORT, show=False)
    found: list[genlab.Run] = []
    threads = [threading.Thread(target=lambda w=w: found.append(genlab.train(*w, show=False))) for w in (words, SHORT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (again,) = [other for other in found if "rbm" in other.path.parent.name]
    assert records(again.path) == records(alone.path)


@pytest.mark.parametrize(
    "words",
    [
        ["model=vea"],
        ["lr=0.1"],
        ["model"],
        ["optimizer.lr=-1"],
        ["model.hidden=[1,2"],
        ["dataset.nonsense=3"],
        ["model=rbm", "dataset=gaussian"],
        ["dataset=array", "dataset.path=nowhere.npy"],
        ["train.epochs=2", "train.examples=100"],
        ["device=cuda"],
        ["experiment=nothing"],
        ["name=latest"],
    ],
    ids=" ".join,
)
def test_a_mistake_has_the_line_of_the_command_line(
    words: list[str], work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(["train", *words], capsys)
    assert outcome.code == 2
    with pytest.raises(genlab.GenlabError) as caught:
        genlab.train(*words, show=False)
    assert in_one_line(f"genlab: error: {caught.value}") == outcome.err.strip()


def test_mistakes_of_python_alone(work: Path, run: genlab.Run) -> None:
    x = np.random.default_rng(0).normal(size=(100, 2))
    there = sorted(Path("outputs").rglob("*"))
    for mistake, says in [
        (lambda: genlab.train("-m", "seed=0,1"), "-m is a flag of the command line"),
        (lambda: genlab.train("experiment=lecture_rbm"), "is a sweep"),
        (lambda: genlab.train("seed=0,1"), "seed=0,1: several values are a sweep; in Python, train in a loop"),
        (lambda: genlab.train(lables=[1]), "lables: is no argument of train; did you mean 'labels'?"),  # type: ignore[arg-type]
        (lambda: genlab.train(3), "3: is no override"),  # type: ignore[arg-type]
        (lambda: genlab.train(optimizer=object()), "optimizer: is object"),  # type: ignore[arg-type]
        (lambda: genlab.train(name="first"), "name=first: outputs/train/"),
        (lambda: genlab.train(folder=run.path.parent), "holds other files already"),
        (lambda: genlab.train(labels=[1, 2]), "labels: come with data"),
        (lambda: genlab.train("dataset=mnist", data=x), "dataset=mnist: data is given as an array"),
        (lambda: genlab.train(data="x.npy"), "data='x.npy'"),
        (lambda: genlab.train(data=[object(), object()]), "Python objects"),
        (lambda: genlab.train(data=x, labels=[1, 2]), "data: labels of shape (2,) for 100 examples"),
        (
            lambda: genlab.train(data=np.full((40, 2), np.nan)),
            "data: float64 of shape (40, 2) holds values that are not",
        ),
        (lambda: genlab.train(config_dir="nowhere"), "config_dir=nowhere: there is no such folder"),
        (lambda: run.sample(5, stepz=2), "stepz=2"),
        (lambda: run.evaluate(k=0), "k=0"),
        (lambda: genlab.compare(), "compare takes one run or more"),
        (lambda: genlab.compare(run, names=["a", "b"]), "are 2 for 1 runs"),
        (lambda: genlab.compare(run, metrics=["fidd"]), "fidd"),
        (lambda: genlab.load("nix"), "run=nix"),
    ]:
        with pytest.raises(genlab.GenlabError) as caught:
            mistake()
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(Path("outputs").rglob("*")) == there  # nothing is left behind


def test_arrays_are_data_and_are_found_again_by_the_command_line(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(300, 3)))
    labels = rng.integers(0, 2, size=300)
    words = ("model=vae", "train.examples=1000", "model.hidden=[16]")
    own = genlab.train(*words, data=x, labels=labels, show=False)
    again = genlab.train(*words, data=x.numpy(), labels=list(labels), show=False)
    assert own.config["dataset"]["path"] == again.config["dataset"]["path"]  # one file for the same data
    assert own.dataset.spec.shape == (3,)
    assert own.dataset.spec.num_classes == 2
    assert records(own.path) == records(again.path)
    assert call(["evaluate", f"run={own.path}", "n=30", "k=5"], capsys).code == 0
    split = genlab.train(*words, data={"x_train": x[:200], "x_test": x[200:]}, show=False)
    assert len(split.dataset.test) == 100


def test_samples_of_ones_own_are_measured(work: Path, run: genlab.Run) -> None:
    drawn = run.sample(60)
    values = run.evaluate(samples=drawn, seed=1)
    same = run.evaluate(samples=drawn.numpy(), seed=1)
    assert values["fid"] == same["fid"]
    saved = drawn.save("mine")
    assert run.evaluate(samples=saved, seed=1)["fid"] == values["fid"]


def test_records_and_rows_are_what_pandas_takes(work: Path, run: genlab.Run) -> None:
    frame = pd.DataFrame(run.history)
    assert len(frame) == run.history.records > 3
    assert frame["examples"].is_monotonic_increasing
    last = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])
    assert run.history.last()["test/loss"] == last["test/loss"]
    assert {"name", "value", "stderr", "unit", "kind"} == set(pd.DataFrame(run.metrics.rows()))
    compared = genlab.compare(run, names=["one"])
    page = compared.save("page")
    with (page.parent / "table.csv").open() as file:
        (row,) = csv.DictReader(file)
    (own,) = compared.rows()
    assert own["row"] == row["row"] == "one"
    numbers = {name: float(value) for name, value in row.items() if value and isinstance(own[name], float)}
    assert numbers == {name: own[name] for name in numbers}
    assert len(numbers) > 5


def test_what_is_printed_is_a_table_and_a_wrong_name_is_answered(run: genlab.Run) -> None:
    assert "test/loss" in repr(genlab.runs("name=first", sort="test/loss"))
    printed = repr(genlab.compare(run))
    assert "vae on digits" in printed
    assert "±" in printed
    for values, wrong in ((run.metrics, "fids"), (run.figures, "sample"), (run.history, "test/los")):
        with pytest.raises(KeyError, match=rf"{wrong}: "):
            values[wrong]


def test_ctrl_c_saves_the_run_and_is_no_mistake(work: Path) -> None:
    """A loop over seeds that goes on after mistakes ends."""
    timer = threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    words = ("model=vae", "dataset=digits", "train.examples=100000000", "model.hidden=[32]")
    with pytest.raises(KeyboardInterrupt) as caught, contextlib.suppress(genlab.GenlabError):
        genlab.train(*words, folder="stopped", show=False)
    timer.join()
    assert isinstance(caught.value, genlab.InterruptedRun)
    assert "all is saved" in str(caught.value)
    assert genlab.load("stopped").state == "interrupted"


def test_a_notebook_shows_everything(run: genlab.Run) -> None:
    drawn = run.sample(16)
    assert drawn._repr_png_().startswith(b"\x89PNG")
    assert np.asarray(drawn).shape == (16, 1, 8, 8)
    assert torch.equal(torch.as_tensor(drawn), drawn.x)
    figures = run.pictures(8)
    assert {"samples", "interpolation"} <= set(figures)
    assert figures["samples"].array.shape[2] == 3
    html = run._repr_html_()
    assert html.count("<img") == 2
    assert "VAE on digits" in html
    assert "<table>" in genlab.compare(run)._repr_html_()
    assert genlab.GenlabError("a line")._render_traceback_() == ["GenlabError: a line"]


def test_runs_are_listed_described_removed_and_brought_back(
    work: Path, run: genlab.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    other = genlab.train(*SHORT, seed=8, show=False).describe(name="other", tag=["a", "b"], note="a note")
    other.describe(tag="-b")
    (found,) = genlab.runs("name=other")
    assert (found.path.resolve(), found.tags, found.note) == (other.path, ("a",), "a note")
    assert call(["runs", "tag=a", "--json"], capsys).out == json.dumps([found.as_dict()], indent=1) + "\n"
    best = genlab.runs("model=vae", sort="test/loss")
    losses = [row["test/loss"] for row in best.rows()]
    assert losses == sorted(losses)
    assert len(pd.DataFrame(best.rows())) == len(best)
    assert "other" in best._repr_html_()
    other.remove()
    assert not other.path.exists()
    assert not genlab.runs("name=other")
    assert genlab.restore("other").path == other.path
    assert genlab.load("other").sample(2).x.shape == (2, 1, 8, 8)
    for mistake in (lambda: genlab.runs("colour=red"), lambda: genlab.restore("nix"), lambda: run.describe(name="a/b")):
        with pytest.raises(genlab.GenlabError):
            mistake()


def test_a_run_is_trained_on_started_from_and_exported(work: Path, run: genlab.Run) -> None:
    short = genlab.train("model=ae", "dataset=digits", "train.examples=1280", "optimizer.schedule=constant", show=False)
    longer = short.resume("train.examples=2560")
    assert longer.path == short.path
    assert longer.history["examples"][-1] == 2560
    with pytest.raises(genlab.GenlabError, match=r"optimizer\.lr: .* -> 1"):
        longer.resume("optimizer.lr=1")
    other = genlab.train("model=ae", "dataset=digits", "train.examples=128", init=longer, show=False)
    assert other.config["init"] == str(longer.path)
    folder = longer.export("given")
    assert {"model.safetensors", "model.pt2", "CARD.md"} <= {file.name for file in folder.iterdir()}
    with pytest.raises(genlab.GenlabError, match="given"):
        longer.export("given")


def test_nothing_heavy_is_imported_before_it_is_used(tmp_path: Path) -> None:
    heavy = ("torch", "numpy", "hydra", "omegaconf", "matplotlib", "rich", "sklearn")
    code = f"import sys, genlab; print([name for name in {heavy} if name in sys.modules])"
    import subprocess

    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment(), check=True
    )
    assert found.stdout.strip() == "[]"


def test_show_prints_what_the_command_prints(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genlab.train(*SHORT, show=False)
    quiet = capsys.readouterr()
    assert (quiet.out, quiet.err) == ("", "")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        genlab.nothing  # noqa: B018
    assert "train" in dir(genlab)
