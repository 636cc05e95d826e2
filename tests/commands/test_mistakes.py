"""Every mistake of a user: one line that names it and what to do, exit code 2, no traceback, nothing left lying about."""

import contextlib
import gzip
import io
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from genlab.cli import main
from genlab.tracking.console import console
from genlab.tracking.run_folder import RunFolder
from genlab.training import checkpoint
from tests.helpers.processes import assert_refused, call, execute, files, info, records, strict_json, write_mnist

CPU_ONLY = pytest.mark.skipif(torch.cuda.is_available(), reason="cuda is no mistake on this machine")
SMALL_RUN = ["train.examples=600", "model.hidden=[16]"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to make mistakes in, without data and without network."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GENLAB_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-cache"))
    monkeypatch.setattr("urllib.request._opener", None)  # it remembers the proxies of its first use
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    return folder


def leftovers(folder: Path) -> list[str]:
    """What lies in `folder`, but for an empty folder outputs."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path != folder / "outputs"]


TRAIN = {
    # unknown names
    "model=vea": ("model=vea", "did you mean 'model=vae'?"),
    "model=quux": ("model=quux", "choose one of", "vae"),
    "dataset=mnits": ("dataset=mnits", "did you mean 'dataset=mnist'?"),
    "model=../../etc": ("model=../../etc",),
    "model=null": ("model",),
    # unknown keys
    "train.batch_szie=3": ("train.batch_szie", "did you mean 'train.batch_size=3'?"),
    "sede=3": ("sede", "did you mean 'seed=3'?"),
    "nonsense.deep.key=3": ("nonsense",),
    "+model.nonsense=3": ("model.nonsense",),
    "optimizer.momentum=0.9": ("optimizer.momentum",),  # adam has none
    # games
    "model=gan model.critic_steps=0": ("model.critic_steps=0", "greater than 0"),
    "model=gan model.game=zerosum": ("model.game=zerosum", "nonsaturating", "minimax"),
    "model=gan model.label_smoothing=0.5": ("model.label_smoothing=0.5", "less than 0.5"),
    "model=gan model.network=conv model.hidden=[8,8,8,8]": ("model.hidden=[8, 8, 8, 8]", "name 1 or a few"),
    "model=gan model.hidden=[]": ("model.hidden=[]", "at least 1"),
    "model=gan optimizer.betas=0.5": ("optimizer.betas=0.5", "list"),
    "model=wgan model.penalty=clip": ("model.penalty=clip", "did you mean 'clipping'?"),
    "model=wgan model.penalty_weight=0": ("model.penalty_weight=0", "greater than 0"),
    "model=sgan model.labelled_weight=0 model.unlabelled_weight=0": ("model.labelled_weight=0", "set one above 0"),
    "model=gan optimizer=lbfgs": ("optimizer=lbfgs", "set optimizer=adam"),
    # wrong types
    "model.latent_dim=many": ("model.latent_dim=many", "integer"),
    "model.latent_dim=[2,5]": ("model.latent_dim=[2, 5]", "integer", "-m model.latent_dim=2,5"),
    "model.latent_dim=2.5": ("model.latent_dim=2.5", "integer"),
    "model.hidden=[a]": ("model.hidden[0]=a", "integer"),
    "optimizer.lr=fast": ("optimizer.lr=fast", "number"),
    "dataset.dequantize=maybe": ("dataset.dequantize=maybe",),
    "device.compile=1": ("device.compile=1",),
    "seed=abc": ("seed=abc", "integer"),
    "seed=true": ("seed", "integer"),
    "preferred.examples=abc": ("preferred.examples", "abc"),
    # out of range
    "seed=-1": ("seed=-1",),
    "optimizer.lr=-0.1": ("optimizer.lr=-0.1", "greater than 0"),
    "optimizer.lr=inf": ("optimizer.lr=inf", "finite"),
    "model.beta=inf": ("model.beta=inf", "finite"),
    "optimizer.betas=[0.9]": ("optimizer.betas", "2"),
    "optimizer.schedule=cosinus": ("optimizer.schedule=cosinus", "did you mean 'cosine'?"),
    "train.batch_size=0": ("train.batch_size=0", "greater than 0"),
    "train.batch_size=999999999": ("train.batch_size=999999999", "600,000"),
    "hydra.foo=3": ("hydra.foo", "--cfg hydra"),
    "preferred.examples=-5": ("preferred.examples=-5",),
    "dataset.validation=2000": ("dataset.validation=2000", "1438"),
    "device.processes=3": ("device.processes=3", "train.batch_size=128"),
    "device.precision=tf32 device=cpu": ("device.precision=tf32", "fp32"),
    "train.epochs=1 train.examples=1000": ("train.epochs=1", "train.examples=1000", "one of the two"),
    # what does not fit together
    "model.likelihood=gaussian": ("model.likelihood=gaussian", "binary", "bernoulli"),
    "model.likelihood=bernoulli dataset.binarize=none": ("model.likelihood=bernoulli", "dataset.binarize=dynamic"),
    "model=ae model.output=identity model.loss=bce": ("model.loss=bce", "model.output=identity", "sigmoid"),
    "optimizer=lbfgs": ("optimizer=lbfgs", "model=vae", "optimizer=adam"),
    "model=ae optimizer=lbfgs model.noise=0.1": ("model.noise=0.1", "lbfgs"),
    "dataset.binarize=dynamic dataset.dequantize=true": ("dataset.dequantize=true", "dataset.binarize=none"),
    "model.network=conv model.hidden=[8,8,8,8,8]": ("model.hidden", "fewer"),
    "model=rbm dataset.binarize=none": ("model=rbm cannot model unit data", "set dataset.binarize=dynamic"),
    "model=gaussian_rbm dataset.binarize=dynamic": (
        "model=gaussian_rbm cannot model binary",
        "set dataset.binarize=none",
    ),
    "model=rbm model.negative=pdc": ("model.negative=pdc", "did you mean 'pcd'?"),
    "model=flow model.transform=splin": ("model.transform=splin", "did you mean 'spline'?"),
    "model=flow model.dense=some": ("model.dense=some: should be auto or an integer",),
    "model=flow model.dense=-1": ("model.dense=-1: should be auto or greater than or equal to 0",),
    "model=rbm model.hidden=[500]": ("model.hidden", "integer"),
    "model=rbm model.k=0": ("model.k=0", "greater than 0"),
    "model=rbm model.latent_dim=3": (
        "model.latent_dim is not a key of model=rbm, but of model=ae, ",
        "choose one of: average,",
    ),
    "model=sgan model.conditional=true": (
        "model.conditional is not a key of model=sgan, but of model=autoregressive, ",
        "unlabelled_weight, weight_norm",
    ),
    "model=gan model.spectralnorm=true": ("is not a key of model=gan; did you mean 'model.spectral_norm=true'?",),
    "model=rbm optimizer=lbfgs": ("optimizer=lbfgs", "model=rbm"),
    # data that are not there
    "dataset=array": ("dataset.path", ".npy"),
    "dataset=array dataset.path=nowhere.npy": ("dataset.path=nowhere.npy",),
    # words and flags
    "--fast": ("--fast",),
    "-x": ("-x",),
    "vae": ("'vae'", "model=vae"),
    "seed": ("'seed'", "key=value"),
    "=3": ("=3",),
    "--cfg": ("--cfg", "job"),
    "--cfg everything": ("--cfg", "job"),
    "--config-dir": ("--config-dir",),
    "--config-dir nowhere": ("nowhere",),
    "--config-name nowhere": ("nowhere",),
    # characters that Hydra reads in its own way
    "seed=[1": ("seed=[1",),
    "seed='": ("seed='",),
    "seed=a#b": ("seed=a#b",),
    "dataset=array dataset.path=odd{name.npy": ("dataset.path=odd{name.npy",),
    "seed=1,2": ("seed=1,2", "-m"),
    "model.latent_dim=${nothing}": ("nothing",),
    "model.latent_dim=${oc.env:GENLAB_TEST_NOTHING}": ("GENLAB_TEST_NOTHING",),
    # objects that nobody may build
    "model._target_=os.getcwd": ("model._target_=os.getcwd",),
    "hydra.run.dir=null": ("hydra.run.dir=null",),
    # what asks for too much, or for something else
    "-m ++dataset.binarize=range(0,100000000)": ("range(0,100000000): a sweep of 100,000,000 jobs", "10,000 at most"),
    "-m seed=range(0,100) model.latent_dim=range(1,102)": ("a sweep of 10,100 jobs",),
    "-m seed=range(0,1,0)": ("seed=range(0,1,0)",),
    "model.latent_dim=10000000000": ("model.latent_dim=10000000000: should be 1,000,000,000 at most",),
    "model.hidden=[8,1e30]": ("model.hidden[1]=1000000000000000", "should be 1,000,000,000 at most"),
    f"train.examples={30 * '9'}": ("train.examples=999", "9,223,372,036,854,775,807 at most"),
    "--multirun=1": ("--multirun=1: --multirun takes no value",),
    "device.threads=2147483647": ("device.threads=2147483647", "less than or equal to 1024"),
    "-m model._target_=[[a],[b]]": ("model._target_=[['a'], ['b']] is no model of genlab: write one name",),
    "model._target_=[[a],[b]]": ("model._target_=[['a'], ['b']] is no model of genlab: write one name",),
    "seed=${run_name:/etc}": ("run=/etc is not a run folder",),
    "hydra.run.dir=${run_name:/etc}": ("run=/etc is not a run folder",),
    "hydra.run.dir=${slug:}": ("hydra.run.dir: ",),
    "seed=${seed}": ("seed: Recursive interpolation",),
    "++hydra.output_subdir===": ("++hydra.output_subdir===: ", "leave it out"),
    "hydra.output_subdir=../x": ("hydra.output_subdir=../x: ", "leave it out"),
    "hydra.callbacks=null": ("hydra.callbacks=null: this value cannot be taken",),
    "hydra.verbose={a:1}": ("--cfg hydra",),
    "hydra/launcher=nothing": ("hydra/launcher=nothing: there is no such choice",),
    "model=[ae,vea]": ("model=vea", "did you mean 'model=vae'?"),
    f"name={300 * 'x'}": ("name=xxx", "...", "xxx: should be a few words"),
    f"dataset=array dataset.path={300 * 'x'}": ("dataset.path=xxx", "...", "xxx: cannot be read (File name too long)"),
    f"model.latent_dim=[{','.join(400 * '8')}]": ("model.latent_dim=[8, 8", "...", "should be an integer"),
}


@pytest.mark.parametrize("mistake", TRAIN)
def test_a_mistake_in_training(mistake: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(["train", *mistake.split(" ")], capsys), *TRAIN[mistake])
    assert leftovers(here) == []


@CPU_ONLY
@pytest.mark.parametrize("mistake", ["device=cuda", "device.name=cuda", "device=gpu"])
def test_a_device_that_is_not_there(mistake: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(["train", mistake], capsys), f"device.name={mistake.rpartition('=')[2]}", "device=auto")
    assert leftovers(here) == []


COMMANDS = {
    "trian": ("trian", "did you mean 'train'?"),
    "xyzzy": ("xyzzy", "train"),
    "--nothing": ("--nothing",),
    "list modles": ("modles", "did you mean 'models'?"),
    "list everything": ("everything", "models"),
    "evaluate ais.shedule=even": ("ais.shedule", "did you mean 'ais.schedule=even'?"),
    "resume": ("RUN",),
    "resume nowhere": ("run=nowhere",),
    "resume latest": ("run=latest", "genlab train"),
    "resume .": ("not a run folder",),
    "resume a b": ("one run folder",),
    "sample": ("run=latest", "genlab train"),
    "sample run=nowhere": ("run=nowhere",),
    "sample run=.": ("not a run folder",),
    "sample run=": ("run=",),
    "sample run=null": ("run=null",),
    "sample run=3": ("run=3",),
    f"sample run={300 * 'x'}": ("run=xxx", "...", "xxx: there is no such folder"),
    f"compare {300 * 'x'}": ("xxx", "...", "no file can have so long a name"),
    "sample latest": ("run=latest",),
    "sample label=3": ("label", "did you mean 'labels=3'?"),
    "dashboard": ("outputs/train", "train something first"),
    "dashboard nowhere": ("nowhere",),
    "dashboard latest": ("run=latest",),
}


@pytest.mark.parametrize("mistake", COMMANDS)
def test_a_mistake_in_another_command(mistake: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(mistake.split(" "), capsys), *COMMANDS[mistake])
    assert leftovers(here) == []


@pytest.mark.parametrize("mistake", ["train model=vea", "trian", "dashboard nowhere"])
def test_a_process_says_the_same(mistake: str, here: Path) -> None:
    assert_refused(execute(mistake.split(" "), here))
    assert leftovers(here) == []


def test_missing_data_name_the_folder_and_what_needs_none(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    outcome = call(["train", "dataset=mnist", f"dataset.root={root}"], capsys)
    assert_refused(outcome, str(root), "train-images-idx3-ubyte", "dataset=digits")
    assert leftovers(here) == []


def test_a_corrupt_idx_file_is_named(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data" / "mnist"
    write_mnist(folder)
    name = "train-images-idx3-ubyte"
    content = (folder / name).read_bytes()
    for damaged in (content[:-5], b"not IDX", content[:3], b"", gzip.compress(content)[:-9]):
        (folder / name).write_bytes(damaged)
        outcome = call(["train", "dataset=mnist", f"dataset.root={tmp_path / 'data'}"], capsys)
        assert_refused(outcome, str(folder / name), "damaged")
    assert leftovers(here) == []


ARRAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "not finite": (lambda p: np.save(p, np.full((50, 3), np.nan)), "finite"),
    "empty": (lambda p: np.save(p, np.zeros((0, 3))), "empty"),
    "one example": (lambda p: np.save(p, np.zeros((1, 3))), "dataset."),
    "objects": (lambda p: np.save(p, np.array([{}, {}]), allow_pickle=True), "dataset.path"),
    "words": (lambda p: np.save(p, np.array([["a", "b"]] * 50)), "numbers"),
    "text": (lambda p: p.write_text("1,2,3\n"), "dataset.path"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_that_is_no_data(kind: str, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.npy"
    make, word = ARRAYS[kind]
    make(path)
    assert_refused(call(["train", "dataset=array", f"dataset.path={path}"], capsys), word)
    assert leftovers(here) == []


def test_an_output_activation_that_cannot_reach_the_data(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.npy"
    np.save(path, np.random.default_rng(0).normal(size=(200, 3)))
    for output in ("sigmoid", "relu"):
        outcome = call(["train", "model=ae", f"model.output={output}", "dataset=array", f"dataset.path={path}"], capsys)
        assert_refused(outcome, f"model.output={output}", "model.output=identity")
    outcome = call(["train", "dataset=array", f"dataset.path={path}", "dataset.binarize=dynamic"], capsys)
    assert_refused(outcome, "dataset.binarize")
    outcome = call(["train", "dataset=array", f"dataset.path={path}", "model.network=conv"], capsys)
    assert_refused(outcome, "model.network=conv", "model.network=mlp")
    assert leftovers(here) == []


# Folders


def test_a_folder_that_cannot_be_written(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("the user's own")
    outcome = call(["train", *SMALL_RUN, f"hydra.run.dir={tmp_path / 'file' / 'run'}"], capsys)
    assert_refused(outcome, str(tmp_path / "file"))
    outcome = call(["train", "-m", *SMALL_RUN, f"hydra.sweep.dir={tmp_path / 'file' / 'sweep'}"], capsys)
    assert_refused(outcome, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "the user's own"
    assert leftovers(here) == []


@pytest.mark.parametrize(
    ("folder", "mistake"), [("theirs", "model.latent_dim=many"), ("theirs", "dataset=array"), (".", "seed=-1")]
)
def test_a_mistake_never_deletes_what_lay_in_the_folder(
    folder: str, mistake: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """hydra.run.dir may well name a folder that holds other things."""
    (here / folder / "chapters").mkdir(parents=True)
    for name in ("thesis.tex", "chapters/one.tex"):
        (here / folder / name).write_text("years of work")
    assert_refused(call(["train", f"hydra.run.dir={folder}", mistake], capsys))
    assert files(here / folder) == {"thesis.tex": b"years of work", "chapters/one.tex": b"years of work"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    torch.set_num_threads(1)
    assert main(["train", *SMALL_RUN, f"hydra.run.dir={folder}"]) == 0
    return folder


def test_an_existing_run_is_not_overwritten(run: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(run)
    outcome = call(["train", "train.examples=300", "seed=7", f"hydra.run.dir={run}"], capsys)
    assert_refused(outcome, "hydra.run.dir", "genlab resume")
    assert files(run) == before  # its .hydra, too
    outcome = call(["train", "model.latent_dim=many", f"hydra.run.dir={run}"], capsys)
    assert_refused(outcome)
    assert files(run) == before
    assert leftovers(here) == []


def test_sampling_into_the_folder_of_a_run_leaves_what_is_there(
    run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(run)
    call(["sample", f"run={run}", "n=3", f"hydra.run.dir={run}"], capsys)
    after = files(run)
    assert {name: after.get(name) for name in before} == before


def test_a_mistake_in_sampling_never_deletes_earlier_samples(
    run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["sample", f"run={run}", "n=3", "hydra.run.dir=figures"], capsys).code == 0
    (here / "figures" / "caption.txt").write_text("years of work")
    before = {name: content for name, content in files(here / "figures").items() if not name.startswith(".hydra")}
    assert {"samples.png", "samples.npz", "caption.txt"} <= before.keys()
    assert_refused(call(["sample", f"run={run}", "n=0", "hydra.run.dir=figures"], capsys), "n=0")
    after = files(here / "figures")
    assert {name: after.get(name) for name in before} == before


SAMPLE = {
    "n=0": ("n=0", "greater than 0"),
    "n=abc": ("n=abc", "integer"),
    "seed=-1": ("seed=-1",),
    "checkpoint=bset": ("checkpoint=bset", "did you mean 'best'?"),
    "sampler=x": ("sampler=x", "model=vae"),
    "steps=3": ("steps=3", "model=vae"),
    "labels=[1,2]": ("labels=[1, 2]", "no classes", "model.conditional=true"),
    "truncation=0": ("truncation=0", "model=vae has no such choice"),
    "truncation=0.7": ("truncation=0.7", "model=vae"),
    "nn=3": ("nn", "did you mean 'n=3'?"),
    "model=ae": ("model",),
}


@pytest.mark.parametrize("mistake", SAMPLE)
def test_a_mistake_in_sampling(mistake: str, run: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(["sample", f"run={run}", *mistake.split(" ")], capsys), *SAMPLE[mistake])
    assert leftovers(here) == []


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("ais.temperatures=1", ("ais.temperatures=1", "greater than or equal to 2")),
        ("ais.schedule=evenly", ("ais.schedule=evenly", "did you mean 'even'?")),
        ("ais=null", ("ais=null",)),
    ],
)
def test_a_mistake_in_evaluating(
    mistake: str, words: tuple[str, ...], run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(call(["evaluate", f"run={run}", mistake], capsys), *words)


def test_a_sweep_over_a_name_that_does_not_exist_leaves_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(["train", "-m", "model=vae,vea", *SMALL_RUN], capsys), "model=vea", "did you mean 'model=vae'?")
    assert leftovers(here) == []


def test_two_jobs_of_a_sweep_in_one_folder_leave_the_first_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["seed=0,1", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=same", *SMALL_RUN]
    outcome = call(["train", "-m", *words], capsys)
    assert outcome.code == 2
    assert "holds a run already" in outcome.err
    assert info(here / "sweep" / "same")["state"] == "finished"


# Trainings that cannot go on


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=sgd", "optimizer.lr=1e6"],
        ["optimizer=sgd", "optimizer.lr=1e6", "train.log_every=100000", "train.checkpoint_every=500"],
        ["model=ae", "optimizer=momentum", "optimizer.lr=1e8", "model.output=identity", "dataset.binarize=none"],
        ["optimizer=adam", "optimizer.lr=1e30"],
    ],
)
def test_a_value_that_is_not_finite_ends_the_run_and_is_named(
    overrides: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(["train", *overrides, "train.examples=3000", "hydra.run.dir=run"], capsys)
    assert_refused(outcome, "optimizer.lr")
    assert any(word in outcome.err for word in ("nan", "inf", "not finite"))
    assert any(word in outcome.err for word in ("loss", "parameter", "elbo"))
    facts = info(here / "run")
    assert facts["state"] == "failed"
    assert facts["error"] in outcome.err
    for record in records(here / "run"):  # nothing is masked, and nothing but numbers is written
        assert all(np.isfinite(value) for value in record.values())
    for path in (here / "run" / "checkpoints").iterdir():
        assert all(bool(value.isfinite().all()) for value in checkpoint.load(path)["model"].values())


def test_a_single_test_example_makes_no_nan(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The standard error of one value is unknown; run.json and metrics.jsonl stay readable for other programs."""
    outcome = call(["train", *SMALL_RUN, "dataset.test=1", "hydra.run.dir=run"], capsys)
    if outcome.code == 2:
        assert_refused(outcome, "dataset.test=1")
        return
    assert (outcome.code, outcome.err) == (0, "")
    strict_json((here / "run" / "run.json").read_text())
    assert records(here / "run")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_a_full_disk_ends_the_run_and_spares_its_last_checkpoint(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files stands for the disk: the logs still fit, a checkpoint of 900 kB does not."""
    assert call(["train", "train.examples=1000", "hydra.run.dir=run"], capsys).code == 0
    RunFolder(here / "run").note(state="running")  # as if killed between its last checkpoint and the end
    before = (here / "run" / "checkpoints" / "last.pt").read_bytes()
    assert len(before) > 300_000

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    outcome = execute(["resume", "run"], here, preexec_fn=limit)
    assert_refused(outcome, "run/checkpoints", "genlab resume run")
    assert (here / "run" / "checkpoints" / "last.pt").read_bytes() == before
    assert not list((here / "run").rglob("*.partial"))
    assert info(here / "run")["state"] == "failed"
    outcome = call(["resume", "run"], capsys)  # with room again
    assert (outcome.code, outcome.err) == (0, "")
    assert info(here / "run")["state"] == "finished"


def test_a_reader_that_goes_away_does_not_spoil_the_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """genlab train | head -1"""
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        patch.setattr(console, "quiet", False)  # and back to it afterwards
        assert main(["train", *SMALL_RUN, "hydra.run.dir=run"]) == 0
    assert info(here / "run")["state"] == "finished"


def test_a_terminal_that_knows_only_ascii(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    with io.TextIOWrapper(shown, encoding="ascii") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert main(["train", *SMALL_RUN, "hydra.run.dir=run"]) == 0
        terminal.flush()
        text = shown.getvalue().decode("ascii")
    assert "elbo" in text
    assert info(here / "run")["state"] == "finished"


def test_the_environment_of_these_tests_has_no_data() -> None:
    assert not Path(os.environ["GENLAB_DATA"]).exists()
