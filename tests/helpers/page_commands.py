"""Whether genlab, or another program that pages start, takes a command or a setting: without training and without a run."""

import functools
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from genlab.cli import COMMANDS, HYDRA_COMMANDS
from genlab.commands import compare, runs
from genlab.composition.arguments import arrange
from genlab.composition.catalogue import GROUPS
from genlab.config.schema import check
from genlab.config.targets import locate
from genlab.data.places import SESSION
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.experiment.lengthening import CHANGEABLE
from genlab.inference.partition import Annealing
from genlab.inference.sampling import check_options
from genlab.interface import evaluation_run, sampling_run
from genlab.models.base import Model
from genlab.report.run_filters import select
from genlab.tracking.run_names import RunNames, changed
from tests.benchmarks.__main__ import FAMILIES as CONTESTS
from tests.helpers.pages import configurations, make_targets
from tests.helpers.processes import REPOSITORY, call
from tests.helpers.support import CPU, MODELS, configure

EATEN = re.compile(r"[][{}()*?~#&;<>|!$`\\]")
"""Signs that a shell takes for itself where they are not quoted; zsh takes a # for a word."""


@functools.cache
def composed(name: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    return configure(*overrides, command=name)


def jobs(words: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of the first and of the last job of a sweep, as Hydra's own sweeper makes them."""
    parsed = OverridesParser.create().parse_overrides(list(words))
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [tuple(batch[0]), tuple(batch[-1])]


@functools.cache
def untrained() -> tuple[Model, ...]:
    """Every family for digits, and those that can be conditional once more with classes."""
    chosen = [[f"model={name}"] for name in MODELS]
    chosen += [
        [f"model={name}", "model.conditional=true"] for name in MODELS if "conditional" in _section("model", name)
    ]
    return tuple(Experiment(configure(*words), CPU).model for words in chosen)


def check_sampling(options: Mapping[str, Any]) -> None:
    """Raises GenlabError for options that no family takes."""
    refusals: list[GenlabError] = []
    for model in untrained() if options else ():
        try:
            check_options(model, options)
            return
        except GenlabError as error:
            refusals.append(error)
    if refusals:
        raise min(refusals, key=lambda error: "no such choice" in str(error))


def check_composed(command: str, overrides: tuple[str, ...]) -> None:
    """Raises where genlab would refuse the words before it reads data or a run."""
    of_sweeps = ("hydra/", "hydra.launcher.", "hydra.sweeper.", "search=")
    config = composed(command, tuple(word for word in overrides if not word.startswith(of_sweeps)))
    if command in ("train", "benchmark"):
        Experiment({key: value for key, value in config.items() if key != "benchmark"}, CPU)
        return
    keys = sampling_run.keys if command == "sample" else evaluation_run.keys
    options = sampling_run.options_beside(keys, config)
    if command == "evaluate":
        check(config["ais"], "ais", Annealing)
    check_sampling(options)


def check_genlab(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    command, *rest = words
    if words == [command] and command in COMMANDS:
        return  # a text speaks of the command
    if command in ("-sc", "--version") or "--help" in rest or command == "list":
        assert call(words, capsys).code == 0
    elif command in HYDRA_COMMANDS:
        rest = [word for word in rest if (command, word) != ("train", "--estimate")]  # which is taken off before
        flags = [word for word in arrange(rest, command) if "=" not in word]
        overrides = [word for word in arrange(rest, command) if "=" in word]
        if searched := [word for word in overrides if word.startswith(("search=", "hydra/sweeper="))]:
            overrides = [word for word in overrides if word not in searched and "interval(" not in word]
        for job in jobs(overrides) if {"-m", "--multirun"} & set(flags) else [tuple(overrides)]:
            check_composed(command, job)
    elif command == "compare":
        named, flags_of_compare = compare.parse(rest)
        assert named
        assert all(flags_of_compare.values())
    elif command == "runs":
        verb = rest[0] if rest and rest[0] in runs.VERBS else ""
        named, _ = runs.parse(rest[1:] if verb else rest, verb)
        if verb in ("", "remove"):
            select([], runs.split(named)[0])
        elif verb == "set":
            changed(RunNames(), [word for word in named if "=" in word])
    elif command == "resume":
        altered = [word.partition("=")[0] for word in rest if "=" in word]
        assert len(rest) == len(altered) + 1
        sections = {"train": CHANGEABLE, "device": SESSION}
        assert set(altered) <= {f"{section}.{key}" for section, keys in sections.items() for key in keys}
    else:
        assert command in COMMANDS
        assert len(rest) <= 2


def check_make(words: Sequence[str]) -> None:
    targets = [word for word in words if "=" not in word]
    assert set(targets) <= make_targets()
    for name, _, value in (word.partition("=") for word in words if "=" in word):
        assert re.search(rf"^{name} \?=", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        if targets == ["benchmark"]:
            contests = re.findall(r"(?<!\S)[a-z]\w*", value)
            assert set(contests) <= set(CONTESTS)


def check_quotes(text: str) -> None:
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    assert not EATEN.search(bare), f"a shell would take {EATEN.findall(bare)} for itself"


def check_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Raises for a command that does not exist, or that would be refused before it begins."""
    check_quotes(line)
    program, *words = shlex.split(line)
    if {"model=mine", "allow=mine.Mine", "experiment=NAME"} & set(words):
        return  # a reader's own; of the first see test_the_model_on_the_page_works_as_it_stands
    program = program.removeprefix(".venv/bin/")
    if program == "genlab":
        check_genlab(words, capsys)
    elif program == "make":
        check_make(words)
    elif program == "eval":
        (inner,) = re.findall(r"^\$\(genlab (.*)\)$", words[0])
        check_genlab(shlex.split(inner), capsys)
    elif program == "python":
        assert words[0] == "-m"
        assert importlib.util.find_spec(words[1]) is not None
    elif program == "pip":
        with (REPOSITORY / "pyproject.toml").open("rb") as file:
            extras = tomllib.load(file)["project"]["optional-dependencies"]
        assert words[0] == "install"
        assert all(name in extras for word in words for name in re.findall(r"^\.\[(\w+)\]$", word))
    elif program == "mlflow":
        assert words[0] == "ui"  # of an extra, which need not be installed
    elif program == "source":
        assert words == [".venv/bin/activate"]
    elif program == "bash":
        assert (REPOSITORY / words[0]).exists()
    else:
        raise AssertionError(f"{program} is no program that a page may start")


def check_setting(text: str) -> None:
    """Raises for settings that neither `genlab train`, nor `sample`, nor `evaluate` takes."""
    check_quotes(text)
    words = shlex.split(text)
    if len(words) == 1 and words[0].startswith("model."):
        return check_model_key(words[0])
    if len(words) == 1 and words[0].partition("=")[0] in GROUPS:
        return None  # tests/config/test_config.py composes every choice
    if any(word.partition("=")[0] in GROUPS for word in words):
        return check_composed("train", tuple(arrange(list(words), "train")))
    keys = [word.partition("=")[0] for word in words]
    if all(
        re.match(r"(train|dataset|optimizer|device|model)\.|(seed|name|tag|note|tracker|init)$", key) for key in keys
    ):
        family = [] if not any(key.startswith("model.") for key in keys) else [f"model={_family_with(keys)}"]
        return check_composed("train", (*family, *_data_with(keys), *arrange(list(words), "train")))
    if any("/" in key or key == "allow" for key in keys):
        return None
    command = "evaluate" if set(keys) & EVALUATED else "sample"
    check_composed(command, tuple(arrange(list(words), command)))


EVALUATED = {"k", "anomaly", "noise", "samples", "fid_steps", "latent", "ais.chains", "ais.temperatures"}


def _family_with(keys: Sequence[str]) -> str:
    own = {key.removeprefix("model.") for key in keys if key.startswith("model.")}
    return next(name for name in MODELS if own <= set(_section("model", name)))


def _data_with(keys: Sequence[str]) -> list[str]:
    own = {key.removeprefix("dataset.") for key in keys if key.startswith("dataset.")}
    sources = sorted(path.stem for path in configurations() if path.parent.name == "dataset")
    return [f"dataset={next(name for name in sources if own <= set(_section('dataset', name)))}"] if own else []


@functools.cache
def _section(group: str, name: str) -> dict[str, Any]:
    if group == "model":  # with what its values say of the data set
        return dict(configure(f"model={name}")["model"])
    content = configurations()[REPOSITORY / "conf" / group / f"{name}.yaml"]
    assert isinstance(content, dict)
    return content


def check_model_key(word: str) -> None:
    """Raises GenlabError for a value that no family with this key takes."""
    key, _, text = word.removeprefix("model.").partition("=")
    parsed = OverridesParser.create().parse_override(f"x={text}").value()
    refusals: list[GenlabError] = []
    for name in MODELS:
        section = _section("model", name)
        if key in section:
            try:
                check({**section, key: parsed}, "model", locate(section["_target_"], "model"))
                return
            except GenlabError as error:
                refusals.append(error)
    raise refusals[0] if refusals else GenlabError(f"{word}: no model has this key")
