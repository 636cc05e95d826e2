"""What people type before they know genlab: each is answered in one line with the right words, or simply taken."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from genlab.cli import HELP
from genlab.commands import compare, help
from genlab.composition.guesses import mend
from genlab.composition.names import CHOICES, KEYS, choice, key_name
from genlab.composition.words import expand_home, readable
from tests.helpers.processes import assert_refused, call, info, trained


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return tmp_path


GUESSES = {
    "train vae mnist": "train model=vae dataset=mnist",
    "train --model vae": "train model=vae",
    "train --model=vae": "train model=vae",
    "train model = vae": "train model=vae",
    "train model =vae": "train model=vae",
    "train model= vae": "train model=vae",
    "train model:vae": "train model=vae",
    "train seed 3": "train seed=3",
    "train --lr 0.1 --epochs=5": "train optimizer.lr=0.1 train.epochs=5",
    "train -lr 0.1": "train optimizer.lr=0.1",
    "train rbm k=5 lr=0.1 epochs=10": "train model=rbm model.k=5 optimizer.lr=0.1 train.epochs=10",
    "train lr=0.1": "'optimizer.lr=0.1'",
    "train k=1": "'model.k=1'",
    "train epoch=5": "'train.epochs=5'",
    "train epochs=5": "'train.epochs=5'",
    "train lr=0.1 epochs=5": "train optimizer.lr=0.1 train.epochs=5",
    "train batch_size=64": "'train.batch_size=64'",
    "train latent_dim=2": "'model.latent_dim=2'",
    "train z_dim=2": "'model.latent_dim=2'",
    "train optimizer.learning_rate=0.1": "'optimizer.lr=0.1'",
    "train train.lr=0.1": "'optimizer.lr=0.1'",
    "train model.lr=0.1": "'optimizer.lr=0.1'",
    "train optim=adam": "'optimizer=adam'",
    "train model.name=gan": "'model=gan'",
    "train model.hidden=[256, 64]": "'model.hidden=[256,64]'",
    "train model.hidden=256": "'model.hidden=[256]'",
    "train model.hidden=None": "'model.hidden=null'",
    "train model=rbm model.hidden=[500]": "'model.hidden=500'",
    "train model=vae, gan": "train -m model=vae,gan",
    "train model=ae,vae": "train -m model=ae,vae",
    "train model.hidden=400,200": "a list is written 'model.hidden=[400,200]'",
    "train model=VAE": "'model=vae'",
    "train model=ddpm": "'model=diffusion'",
    "train dataset=FashionMNIST": "'dataset=fashion_mnist'",
    "train experiment=mnist": "'dataset=mnist'",
    "train experiment=rbm": "'model=rbm'",
    "train --dry-run": "train --cfg job",
    "train --gpu": "train device=gpu",
    "train model=gan k=1": "model=ebm, gaussian_rbm, hvae, rbm, vae",
    "train model=gan model.k=1": "model=ebm, gaussian_rbm, hvae, rbm, vae",
    "train optimizer.momentum=0.9": "optimizer=momentum, nesterov, rmsprop",
    "sample latest 64": "sample run=latest n=64",
    "sample num_samples=64": "'n=64'",
    "evaluate --run latest": "evaluate run=latest",
    "evaluate model=vae": "takes a run with its own model",
    "evaluate dataset.size=8": "dataset.path or dataset.root",
    "train model=rmb --help": "'model=rbm'",
}


@pytest.mark.parametrize("typed", GUESSES)
def test_a_guess_is_answered_with_the_right_words(typed: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(typed.split(" "), capsys), GUESSES[typed])
    assert not [path for path in here.rglob("*") if path.is_file()]


def test_words_that_cannot_be_told_are_not_guessed() -> None:
    flags = {"-m": 0, "--cfg": "?"}
    for words in (["quux"], ["--fast"], ["-e", "5"], ["model=vae", "nothing"]):
        assert mend(words, "train", flags) is None
    assert mend(["-m", "vae", "hydra.verbose=true", "--cfg", "job"], "train", flags) == [
        "-m",
        "model=vae",
        "hydra.verbose=true",
        "--cfg",
        "job",
    ]


def test_other_names_lead_to_what_there_is() -> None:
    assert not set(KEYS) & set(KEYS.values())
    assert key_name("Learning-Rate") == "lr"
    assert all(choice(group, name) == name for (group, _), name in CHOICES.items())
    assert choice("model", "WGAN-GP") == "wgan"
    assert choice("model", "quux") is None


def test_counts_may_be_written_as_1e3_and_are_stored_as_numbers(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train.examples=2e2", "train.batch_size=5e1", "model.hidden=[1.6e1]", "seed=1e1", "optimizer.lr=1e-3"]
    outcome = call(["train", *words, "hydra.run.dir=run"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    text = (here / "run" / "config.yaml").read_text()
    assert all(line in text for line in ("examples: 200\n", "batch_size: 50\n", "- 16\n", "seed: 10\n"))
    assert info(here / "run")["seed"] == 10
    assert_refused(call(["train", "train.examples=1.5"], capsys), "train.examples=1.5: should be an integer")
    assert_refused(call(["train", "train.epochs=true"], capsys), "train.epochs=true: should be an integer")
    assert call(["sample", "run=run", "n=1e1", "hydra.run.dir=s"], capsys).code == 0
    with np.load("s/samples.npz") as arrays:
        assert len(arrays["samples"]) == 10


def test_a_length_on_the_command_line_wins_over_that_of_an_experiment(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine" / "experiment").mkdir(parents=True)
    for name, length in (("passes", "epochs: 3"), ("count", "examples: 5000")):
        text = f"# @package _global_\ntrain:\n  {length}\nmodel:\n  hidden: [8]\n"
        (here / "mine" / "experiment" / f"{name}.yaml").write_text(text)
    for words in (["experiment=passes", "train.examples=200"], ["-m", "experiment=passes", "train.examples=200,300"]):
        assert call(["train", "--config-dir", "mine", *words], capsys).code == 0
    outcome = call(["train", "--config-dir", "mine", "experiment=count", "train.epochs=1"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    found = [yaml.safe_load((run / "config.yaml").read_text())["train"] for run in trained(here)]
    assert sorted((train["epochs"] or 0, train["examples"] or 0) for train in found) == [
        (0, 200),
        (0, 200),
        (0, 300),
        (1, 0),
    ]
    outcome = call(["train", "train.epochs=1", "train.examples=200"], capsys)
    assert_refused(outcome, "train.epochs=1 and train.examples=200: set one of the two")


# Paths


def test_a_tilde_is_the_users_folder_wherever_a_path_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for typed, meant in {
        "dataset.path=~/pictures": "dataset.path=/home/me/pictures",
        "run=~": "run=/home/me",
        "~/runs": "/home/me/runs",
        "--out=~/page": "--out=/home/me/page",
        "dataset.path=~/a,~/b": "dataset.path=/home/me/a,/home/me/b",
        "x=[~/a,~/b]": "x=[/home/me/a,/home/me/b]",
        "~model": "~model",
        "run=a~/b": "run=a~/b",
        "x=~nobody-at-all/b": "x=~nobody-at-all/b",
    }.items():
        assert expand_home(typed) == meant


@pytest.mark.parametrize(
    ("typed", "sweeping", "given"),
    [
        ("run=a/b", False, "run=a/b"),
        ("run=out/x=1", False, "run='out/x=1'"),
        ("dataset.path=/x/my (2) pictures{a}", False, "dataset.path='/x/my (2) pictures{a}'"),
        ("dataset.path=it's.npy", False, r"dataset.path='it\'s.npy'"),
        ("run=a/b,c/d", True, "run=a/b,c/d"),
        ("run=a/b,c/(d", True, "run=a/b,'c/(d'"),
        ("dataset.path='/a b/c'", False, "dataset.path='/a b/c'"),
        ("model.hidden=[3", False, "model.hidden=[3"),
        ("dataset.path=${oc.env:HOME}/x", False, "dataset.path=${oc.env:HOME}/x"),
    ],
)
def test_paths_are_quoted_where_hydra_could_not_read_them(typed: str, sweeping: bool, given: str) -> None:
    assert readable(typed, sweeping) == given


@pytest.mark.slow
def test_an_odd_path_with_a_tilde_is_read(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = here / "Zoë's (home)"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    np.save(home / "a, b.npy", np.random.default_rng(0).normal(size=(100, 2)))
    words = ["dataset=array", "dataset.path=~/a, b.npy", "train.examples=200", "model.hidden=[8]"]
    outcome = call(["train", *words, "hydra.run.dir=~/my run"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    run = home / "my run"
    assert yaml.safe_load((run / "config.yaml").read_text())["dataset"]["path"] == str(home / "a, b.npy")
    assert shlex.quote(f"run={run.relative_to(here)}") in outcome.out  # as the next step
    outcome = call(["sample", "run=~/my run", "n=3", "hydra.run.dir=~/s"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert (home / "s" / "samples.npz").exists()
    assert call(["compare", "~/my run", "--out=~/page"], capsys).code == 0
    assert (home / "page" / "index.html").exists()


# Help


@pytest.mark.parametrize("text", [HELP, compare.USAGE, *help.USAGE.values()])
def test_examples_in_help_survive_a_shell(text: str) -> None:
    """zsh refuses a bracket or a star that matches no file, and every shell splits at a space."""
    examples = [line for line in text.splitlines() if line.startswith("  genlab ")]
    assert examples
    for line in examples:
        command = line.strip().split("   ")[0]
        bare = "".join(part for i, part in enumerate(command.split("'")) if i % 2 == 0)
        assert not set('[]*?(){}<>|&;$"') & set(bare), line


@pytest.mark.parametrize("group", ["model", "dataset", "optimizer", "device"])
def test_help_of_a_choice_says_what_each_key_means(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    from genlab.composition.catalogue import names
    from genlab.composition.guesses import keys_of_choice

    for name in names(group):
        outcome = call(["train", f"{group}={name}", "--help"], capsys)
        assert (outcome.code, outcome.err) == (0, "")
        lines = outcome.out.splitlines()
        for key in keys_of_choice(group, name).keys() - {"trunk"}:
            (i,) = [i for i, line in enumerate(lines) if line.startswith(f"  {group}.{key}=")]
            assert lines[i + 1].startswith(6 * " "), f"{group}={name}: {key} has no meaning in its file"
        assert max(map(len, lines[1:])) < 130


def test_help_of_the_boltzmann_machine_names_defaults_and_what_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    out = call(["train", "model=rbm", "--help"], capsys).out
    for words in (
        ["model.hidden=null", "an integer > 0, or null"],
        ["model.temperatures=10", "an integer >= 2"],
        ["model.sparsity_target=0.1", "a number > 0 and < 1"],
        ["model.centred=true", "true | false"],
    ):
        assert any(all(word in line for word in words) for line in out.splitlines()), words
    assert "cd | pcd | tempered" in out
    assert "1,200,000 examples in batches of 100 by sgd, optimizer.lr=0.2" in out
    assert "genlab/models/boltzmann/rbm.py" in out
    assert "latent_dim" not in out
