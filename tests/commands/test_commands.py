"""The commands as people use them: what they print, what they leave behind and what they do not."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from genlab import __version__
from genlab.cli import main
from genlab.composition.catalogue import GROUPS, names
from tests.helpers.processes import (
    assert_refused,
    call,
    end,
    environment,
    execute,
    files,
    info,
    one_job_fails,
    records,
    start,
    strict_json,
    succeed,
    trained,
    write_mnist,
)

REAL_MNIST = Path(os.environ.get("GENLAB_DATA") or "/nowhere")

HEAVY = (
    "torch",
    "torchvision",
    "sklearn",
    "matplotlib",
    "tensorboard",
    "hydra",
    "torch._dynamo",
    "scipy.stats",
    "triton",
)
SESSION = """
import json, sys
from genlab.cli import main
for line in sys.stdin:
    arguments = json.loads(line)
    code = main(arguments)
    loaded = [name for name in sys.argv[1:] if name in sys.modules]
    print(json.dumps({"arguments": arguments, "code": code, "loaded": loaded}), file=sys.stderr)
"""


class Session:
    """A folder in which one process ran several commands, and what they had imported by then."""

    LIGHT: tuple[list[str], ...] = (
        [],
        ["--help"],
        ["--version"],
        ["list"],
        ["list", "models"],
        ["train", "--help"],
        ["sample", "--help"],
        ["evaluate", "--help"],
        ["benchmark", "--help"],
        ["compare", "--help"],
    )
    DIGITS = ("train", "train.examples=8000")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        mnist = ["train", "dataset=mnist", "dataset.validation=0.1", "dataset.root=data", "train.examples=300"]
        self.mnist = [*mnist, "train.batch_size=50"]
        write_mnist(folder / "data" / "MNIST" / "raw")
        script = [sys.executable, "-c", SESSION, *HEAVY]
        lines = "".join(json.dumps(list(a)) + "\n" for a in (*self.LIGHT, self.DIGITS, self.mnist))
        done = subprocess.run(
            script, cwd=folder, env=environment(), input=lines, capture_output=True, text=True, timeout=240, check=False
        )
        self.err = done.stderr
        self.steps = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        self.run = next(iter(sorted((folder / "outputs" / "train" / "vae-digits").glob("*"))), folder / "nothing")

    def loaded_by(self, arguments: list[str]) -> list[str]:
        step = next(s for s in self.steps if s["arguments"] == arguments)
        assert step["code"] == 0, self.err
        found = step["loaded"]
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(tmp_path_factory.mktemp("session"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return tmp_path


# What is imported


def test_what_only_reads_names_starts_at_once(session: Session) -> None:
    """Neither torch nor anything else that takes seconds to import."""
    for arguments in Session.LIGHT:
        assert session.loaded_by(list(arguments)) == []


def test_completion_starts_at_once(here: Path) -> None:
    """Whoever presses the tabulator does not wait for torch."""
    asked = "import sys; from genlab.cli import main; main(['-sc', 'query=bash']); print('torch' in sys.modules)"
    env = environment(COMP_LINE="genlab train model=")
    done = subprocess.run([sys.executable, "-c", asked], env=env, cwd=here, capture_output=True, text=True, check=True)
    assert "model=vae" in done.stdout
    assert done.stdout.endswith("False\n")


def test_training_imports_only_what_it_needs(session: Session) -> None:
    for arguments in (list(Session.DIGITS), session.mnist):
        loaded = session.loaded_by(arguments)
        assert "torch" in loaded
        assert "torchvision" not in loaded
        assert "sklearn" not in loaded
        assert "torch._dynamo" not in loaded, "the compiler takes longer to import than a small model to train"
        assert "scipy.stats" not in loaded
        assert "triton" not in loaded


# What a run leaves behind


def test_a_run_leaves_its_folder_and_nothing_else(session: Session) -> None:
    assert sorted(p.name for p in session.folder.iterdir()) == ["data", "outputs"]
    assert [p.name for p in (session.folder / "outputs").iterdir()] == ["train"]
    assert sorted(p.name for p in (session.folder / "outputs" / "train").iterdir()) == ["vae-digits", "vae-mnist"]
    assert session.run.name.endswith("_examples-8000")
    left = {str(p.relative_to(session.run)) for p in session.run.rglob("*") if p.is_file()}
    samples = {name for name in left if name.startswith("samples/") and name.endswith(".png")}
    events = {name for name in left if name.startswith("tensorboard/events.out.tfevents")}
    assert {"samples/samples.png", "samples/reconstructions.png"} <= samples
    assert len(samples) > 4
    assert len(events) == 1
    hydra = {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
    rest = {"config.yaml", "run.json", "metrics.jsonl", "checkpoints/last.pt", "checkpoints/best.pt", ".lock"}
    rest |= {"samples/samples.gif", "samples/captions.md"}
    assert left - samples - events - hydra == rest
    assert hydra <= left


def test_run_json_says_what_was_done_with_what_and_what_came_out(session: Session) -> None:
    facts = info(session.run)
    assert facts["state"] == "finished"
    assert facts["seed"] == 0
    assert facts["versions"]["genlab"] == __version__
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["device"]["name"] in ("cpu", "cuda", "mps")
    assert facts["started"] <= facts["ended"]
    assert facts["cost"]["examples"] == 8064  # full batches of 128
    assert facts["cost"]["seconds"] > 0
    assert facts["cost"]["parameters"] > 10_000
    assert facts["results"]["test/elbo"]["value"] < 0
    assert 0 < facts["results"]["test/elbo"]["stderr"] < 1
    assert "train.examples=8000" in facts["command"]


def test_metrics_jsonl_holds_every_scalar(session: Session) -> None:
    found = records(session.run)
    assert all({"examples", "epoch", "seconds"} <= record.keys() for record in found)
    assert sum("train/loss" in record for record in found) > 20
    assert sum("eval/elbo" in record for record in found) >= 5
    examples = [record["examples"] for record in found]
    assert examples == sorted(examples)
    assert {"eval/elbo", "test/elbo", "test/elbo_stderr"} <= found[-1].keys()
    assert found[-1]["test/elbo"] == info(session.run)["results"]["test/elbo"]["value"]
    assert found[-1]["test/elbo"] > found[0]["train/elbo"]  # it has learned something


def test_config_yaml_is_resolved_and_enough_to_repeat_the_run(
    session: Session, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((session.run / "config.yaml").read_text())
    assert config["train"]["examples"] == 8000
    assert config["optimizer"]["lr"] == 0.002
    assert "${" not in (session.run / "config.yaml").read_text()
    (first,) = (session.folder / "outputs" / "train" / "vae-mnist").iterdir()
    (here / "data").symlink_to(session.folder / "data")
    assert call(["train", *yaml.safe_load((first / ".hydra" / "overrides.yaml").read_text())], capsys).code == 0
    (again,) = trained(here / "outputs")
    assert info(again)["results"] == info(first)["results"]
    assert files(again / "samples") == files(first / "samples")


def test_training_says_where_everything_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["train", "train.examples=500", "model.hidden=[16]"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = trained(here)
    place = str(run.relative_to(here))
    assert "genlab sample run=latest" in outcome.out
    assert f"run folder   {place}" in outcome.out
    assert "samples.png (in its samples/)" in outcome.out
    assert "elbo" in outcome.out
    assert "359 examples" in outcome.out  # of the test split


@pytest.mark.skipif(
    not list(REAL_MNIST.glob("*/train-images*")),
    reason="the real MNIST is not here (GENLAB_DATA names no folder with it)",
)
def test_a_vae_learns_the_real_mnist(tmp_path: Path) -> None:
    length = ["train.examples=12800", "train.eval_every=6400", "train.evaluation_budget=null"]
    arguments = ["train", "model=vae", "dataset=mnist", *length]
    outcome = succeed(arguments, tmp_path, env=environment(GENLAB_DATA=str(REAL_MNIST)))
    (run,) = trained(tmp_path)
    assert run.parent.name == "vae-mnist"
    assert "55,000 examples of 1x28x28" in outcome.out
    result = info(run)["results"]["test/elbo"]
    assert -180 < result["value"] < -120  # nats; 206 for the best model that ignores the picture
    assert result["stderr"] < 1


# Help, version, list


@pytest.mark.parametrize("command", ["train", "sample", "resume", "list", "dashboard"])
def test_help_and_version_are_our_own(command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--help", "-h"):
        outcome = call([command, flag], capsys)
        assert (outcome.code, outcome.err) == (0, "")
        assert f"genlab {command}" in outcome.out
        assert "Powered by Hydra" not in outcome.out
    outcome = call([command, "--version"], capsys)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"genlab {__version__}\n", "")
    assert files(here) == {}


def test_genlab_alone_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        outcome = call(arguments, capsys)
        assert (outcome.code, outcome.err) == (0, "")
        assert all(command in outcome.out for command in ("train", "resume", "sample", "list", "dashboard"))
    assert call(["--version"], capsys).out == f"genlab {__version__}\n"


def test_the_help_of_train_names_every_choice_and_key(capsys: pytest.CaptureFixture[str]) -> None:
    out = call(["train", "--help"], capsys).out
    for word in ("train.epochs", "batch_size", "checkpoint_every", "seed", "vae", "digits", "adam", "cuda"):
        assert word.rpartition(".")[2] in out
    assert "hydra:" not in out


def test_list_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    everything = call(["list"], capsys).out
    for group in GROUPS:
        assert names(group)
        for words in ([f"{group}s"], [group]):
            out = call(["list", *words], capsys).out
            assert out in everything
            for name, description in names(group).items():
                assert description, f"conf/{group}/{name}.yaml starts with no comment"
                assert name in out
                assert description in out
    assert "digits" not in call(["list", "models"], capsys).out


# Hydra's own


def test_cfg_job_shows_the_configuration_and_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["model=ae", "seed=4", "--cfg", "job"], ["--cfg", "job", "model=ae", "seed=4"]):
        outcome = call(["train", *arguments], capsys)
        assert (outcome.code, outcome.err) == (0, "")
        shown = yaml.safe_load(outcome.out)
        assert shown["seed"] == 4
        assert shown["model"]["_target_"] == "genlab.models.AE"
    assert list(here.iterdir()) == []


def test_an_experiment_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /model: ae\ntrain:\n  examples: 300\nmodel:\n  latent_dim: 3\n"
    (here / "mine" / "experiment" / "bottleneck.yaml").write_text(text)
    outcome = call(["train", "--config-dir", "mine", "experiment=bottleneck", "seed=2"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = trained(here)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["model"]["latent_dim"], config["train"]["examples"], config["seed"]) == (3, 300, 2)
    assert "experiment-bottleneck" in run.name


def completions(line: str, folder: Path) -> list[str]:
    """What bash would offer for `line`, through the function that Hydra installs."""
    script = 'eval "$(genlab train -sc install=bash)"; hydra_bash_completion; printf "%s\\n" "${COMPREPLY[@]}"'
    words = line.split(" ")
    env = environment(COMP_LINE=line, COMP_POINT=str(len(line)), COMP_CWORD=str(len(words) - 1))
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("genlab train model=", {f"model={name}" for name in names("model")}),
        ("genlab train seed=1 dataset=mni", {"dataset=mnist"}),
        ("genlab train train.batch", {"train.batch_size="}),
        ("genlab sample checkp", {"checkpoint="}),
        ("genlab evaluate dev", {"device."}),
    ],
)
def test_bash_completes(line: str, offered: set[str], here: Path) -> None:
    assert offered <= set(completions(line, here))
    assert files(here) == {}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_offers_no_group_that_a_command_does_not_take(here: Path) -> None:
    offered = set(completions("genlab evaluate ", here))
    assert {"run=", "device=", "dataset."} <= offered
    assert not offered & {"model=", "dataset=", "optimizer=", "experiment="}


def test_long_and_odd_overrides_still_make_a_readable_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = ",".join(["16"] * 60)
    words = [f"model.hidden=[{hidden}]", "train.examples=64", "train.batch_size=32", "device.name=cpu"]
    outcome = call(["train", *words], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = trained(here)
    assert 20 < len(run.name) < 120
    assert not set(run.name) & set("=,[]{}()'\" ")
    assert call(["sample", f"run={run.relative_to(here)}", "n=1"], capsys).code == 0


# Sampling


@pytest.fixture
def at_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the folder of the session, where outputs/ lies."""
    monkeypatch.chdir(session.folder)
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return session.run


def sampled(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, np.ndarray[Any, Any]], set[str]]:
    """The arrays, and the names of the pictures, each of them a valid one."""
    outcome = call(["sample", *arguments, f"hydra.run.dir={folder}"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    pictures = set()
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 50
        assert f"{folder.name}/{path.name}" in outcome.out
        pictures.add(path.stem)
    with np.load(folder / "samples.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}, pictures


def test_samples_are_pictures_and_arrays(at_session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays, pictures = sampled([f"run={at_session}", "n=30"], tmp_path / "a", capsys)
    assert {"samples", "reconstructions", "interpolation", "traversal"} <= pictures
    assert arrays["samples"].shape == (30, 1, 8, 8)
    assert arrays["samples"].dtype == np.float32
    assert arrays["interpolation"].shape == (80, 1, 8, 8)
    assert arrays["traversal"].shape == (110, 1, 8, 8)
    for name in ("samples", "interpolation", "traversal"):
        assert arrays[name].min() >= 0
        assert arrays[name].max() <= 1
        assert arrays[name].std(axis=0).max() > 0.01  # not all the same
    assert sorted(arrays["traversal_dimensions"]) == sorted(set(arrays["traversal_dimensions"]))


def test_sample_i_depends_on_the_seed_and_on_i_alone(
    at_session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, many, other = (
        sampled([f"run={at_session}", *words], tmp_path / str(i), capsys)[0]["samples"]
        for i, words in enumerate([["n=10", "seed=5"], ["n=100", "seed=5"], ["n=10", "seed=6"]])
    )
    assert few.tobytes() == many[:10].tobytes()
    assert len(many) == 100
    assert not np.isclose(few, other).all(axis=(1, 2, 3)).any()
    assert len(np.unique(many.reshape(100, -1), axis=0)) == 100  # blocks do not repeat


def test_latest_is_the_run_that_started_last(
    session: Session, at_session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(["sample", "run=latest", "n=4"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert "vae-mnist" in outcome.out
    (folder,) = (session.folder / "outputs" / "sample" / "vae-mnist").iterdir()
    assert folder.name.endswith("_n-4")
    with np.load(folder / "samples.npz") as arrays:
        assert arrays["samples"].shape == (4, 1, 28, 28)
    shutil.rmtree(session.folder / "outputs" / "sample")


def test_the_best_checkpoint_can_be_sampled(
    at_session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays, _ = sampled([f"run={at_session}", "checkpoint=best", "n=3"], tmp_path / "a", capsys)
    assert arrays["samples"].shape == (3, 1, 8, 8)


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("autoencoder") / "run"
    torch.set_num_threads(1)
    words = ["model=ae", "train.examples=600", "model.hidden=[16]", "model.latent_dim=2"]
    assert main(["train", *words, f"hydra.run.dir={run}"]) == 0
    return run


def test_an_autoencoder_reconstructs_interpolates_and_samples_from_a_density_of_its_codes(
    autoencoder: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays, pictures = sampled([f"run={autoencoder}"], here / "a", capsys)
    assert {"samples", "manifold", "reconstructions", "interpolation", "latent"} <= pictures
    assert "samples" in arrays
    assert_refused(call(["sample", f"run={autoencoder}", "sampler=x"], capsys), "sampler=x", "model=ae")


def test_a_run_can_be_sampled_when_its_data_have_vanished(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = np.random.default_rng(0).normal(size=(300, 2)) @ np.array([[3.0, 1.0], [0.0, 0.5]]) + 20
    np.save(here / "points.npy", points)
    words = ["dataset=array", "dataset.path=points.npy", "train.examples=2000", "model.hidden=[16]"]
    assert call(["train", *words, "hydra.run.dir=run"], capsys).code == 0
    with_data, _ = sampled(["run=run", "n=200"], here / "with", capsys)
    (here / "points.npy").unlink()
    without, pictures = sampled(["run=run", "n=200"], here / "without", capsys)
    assert without["samples"].shape == (200, 2)
    assert without["samples"].tobytes() == with_data["samples"].tobytes()
    assert "samples" in pictures
    assert abs(float(without["samples"].mean()) - 20) < 5  # in the data's own units


def test_a_sweep_of_samples_tells_of_a_job_that_failed(
    at_session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"run={at_session}", "n=3,0", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    outcome = one_job_fails(["sample", "-m", *words], capsys)
    assert "n=0" in outcome.err
    assert len(list((tmp_path / "sweep").rglob("samples.npz"))) == 1


# The dashboard


def test_the_dashboard_serves_the_runs(session: Session) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy this machine goes through
    process = start(["dashboard", "outputs/train", "--port", str(port)], session.folder)
    try:
        deadline = time.monotonic() + 120
        found: Any = None
        while not found:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
            try:
                with direct.open(f"http://127.0.0.1:{port}/data/runs", timeout=10) as answer:
                    found = strict_json(answer.read().decode())
            except (urllib.error.URLError, ConnectionError):
                continue
        assert any("vae-digits" in name for name in found)
        with direct.open(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert answer.status == 200
    finally:
        process.kill()
        end(process)


def test_the_dashboard_of_nothing(here: Path) -> None:
    assert_refused(execute(["dashboard", "nowhere"], here), "nowhere")
    assert files(here) == {}
