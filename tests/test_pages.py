"""README and the pages beside the code: they are short, they lead somewhere, and every command on them works."""

import functools
import importlib.util
import re
import shlex
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from genlab.cli import COMMANDS, HYDRA_COMMANDS
from genlab.commands import compare, evaluate, sample
from genlab.commands.arguments import arrange
from genlab.commands.list import GROUPS
from genlab.config.schema import check
from genlab.config.targets import locate
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.inference.partition import Annealing
from genlab.inference.sampling import check_options
from genlab.models.base import Model
from tests.benchmarks.__main__ import FAMILIES as CONTESTS
from tests.helpers.pages import DEFINITION, PAGES, REFERENCE, Page, read
from tests.helpers.processes import REPOSITORY, call, strict_json, trained
from tests.helpers.support import CPU, MODELS, configure
from tests.test_documentation import configurations, make_targets

MOST_LINES, MOST_WORDS = 200, 1_800  # of README
WIDEST_TABLE = 120  # characters of a line of a table, without the addresses of its links
EATEN = re.compile(r"[][{}()*?~#&;<>|!$`\\]")
"""Signs that a shell takes for itself where they are not quoted; zsh takes a # for a word."""
MISTYPED = {"genlab train model.latent_dm=3"}
"""What a page mistypes to show what genlab answers."""
STARTED_ELSEWHERE = {"device=cuda", "device=mps", "hydra/launcher=joblib", "hydra/launcher=submitit_slurm"}

pages = pytest.mark.parametrize("page", [read(path) for path in PAGES], ids=lambda page: page.name)


# Form


def test_readme_is_short() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert len(text.split()) <= MOST_WORDS


@pages
def test_form(page: Page) -> None:
    """No bold type, blocks that name their language, tables that fit a screen."""
    assert "**" not in page.prose
    assert {language for language, _ in page.blocks} <= {"bash", "python", "yaml", "text", "math"}
    for rows in page.tables():
        assert len({len(row) for row in rows}) == 1, rows[0]
        for row in rows:
            line = " | ".join(re.sub(r"\]\([^)]*\)|\]\[[\w-]+\]", "]", cell) for cell in row)
            assert len(line) <= WIDEST_TABLE, line


@pages
def test_links_lead_somewhere(page: Page) -> None:
    lost = []
    for link in page.links():
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = (page.path.parent / place).resolve() if place else page.path
        if not target.exists() or (anchor and anchor not in read(target).anchors()):
            lost.append(link)
    assert lost == []
    used, defined = REFERENCE.findall(page.prose), [name for name, _ in DEFINITION.findall(page.prose)]
    assert set(used) == set(defined)
    assert len(defined) == len(set(defined))


def test_every_picture_is_on_a_page() -> None:
    shown = {(path.parent / link).resolve() for path in PAGES for link in read(path).links()}
    assert [path for path in (REPOSITORY / "outputs" / "readme").glob("*.*") if path.resolve() not in shown][:1] == []


@pages
def test_what_genlab_says_is_what_it_says(page: Page) -> None:
    """Names of diagnoses stand between quotes in the columns of what genlab says."""
    sources = "\n".join(path.read_text() for path in (REPOSITORY / "genlab" / "evaluation").glob("*.py"))
    for head, *rows in page.tables():
        for column in [k for k, cell in enumerate(head) if cell == "genlab says"]:
            said = [name for row in rows for name in re.findall(r'"([^"]+)"', row[column])]
            assert [name for name in said if f'"{name}"' not in sources] == []


# Commands


@functools.cache
def composed(name: str, overrides: tuple[str, ...]) -> Mapping[str, Any]:
    return configure(*overrides, command=name)


def jobs(words: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of the first and of the last job of a sweep, as Hydra's own sweeper makes them."""
    parsed = OverridesParser.create().parse_overrides(list(words))
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [tuple(batch[0]), tuple(batch[-1])]


@functools.cache
def untrained() -> tuple[Model, ...]:
    """Every family for digits, and those that can be conditional once more with classes."""
    chosen = [(f"model={name}",) for name in MODELS]
    chosen += [
        (f"model={name}", "model.conditional=true") for name in MODELS if "conditional" in _section("model", name)
    ]
    return tuple(Experiment(configure(*words), CPU).model for words in chosen)


def check_sampling(options: Mapping[str, Any]) -> None:
    """Raises GenlabError for options that no family takes."""
    refusals: list[GenlabError] = []
    for model in untrained() if options else ():
        try:
            return check_options(model, options)
        except GenlabError as error:
            refusals.append(error)
    if refusals:
        raise min(refusals, key=lambda error: "no such choice" in str(error))


def check_composed(command: str, overrides: tuple[str, ...]) -> None:
    """Raises where genlab would refuse the words before it reads data or a run."""
    config = composed(command, tuple(word for word in overrides if not word.startswith("hydra/")))
    if command in ("train", "benchmark"):
        Experiment({key: value for key, value in config.items() if key != "benchmark"}, CPU)
        return
    keys = sample.keys if command == "sample" else evaluate.keys
    options = sample.options_beside(keys, config)
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
        flags = [word for word in arrange(rest) if "=" not in word]
        overrides = [word for word in arrange(rest) if "=" in word]
        for job in jobs(overrides) if {"-m", "--multirun"} & set(flags) else [tuple(overrides)]:
            check_composed(command, job)
    elif command == "compare":
        named, flags_of_compare = compare.parse(rest)
        assert named
        assert all(flags_of_compare.values())
    else:
        assert command in COMMANDS
        assert len(rest) <= (command != "resume") + 1


def check_make(words: Sequence[str]) -> None:
    targets = [word for word in words if "=" not in word]
    assert set(targets) <= make_targets()
    for name, _, value in (word.partition("=") for word in words if "=" in word):
        assert re.search(rf"^{name} \?=", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        if targets == ["benchmark"]:
            contests = re.findall(r"(?<!\S)[a-z]\w*", value)
            assert set(contests) <= set(CONTESTS)


def check_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Raises for a command that does not exist, or that would be refused before it begins."""
    quoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
    assert not EATEN.search(quoted), f"a shell would take {EATEN.findall(quoted)} for itself"
    program, *words = shlex.split(line)
    if "model=mine" in words:
        return  # test_the_model_on_the_page_works_as_it_stands
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
    elif program == "source":
        assert words == [".venv/bin/activate"]
    elif program == "bash":
        assert (REPOSITORY / words[0]).exists()
    else:
        raise AssertionError(f"{program} is no program that a page may start")


@pages
def test_every_command_is_one(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    refused = []
    for line in dict.fromkeys(page.lines()):
        try:
            if line not in MISTYPED:
                check_line(line, capsys)
        except Exception as error:
            refused.append(f"{line}: {type(error).__name__}: {error}")
    assert refused == []


def check_setting(words: Sequence[str]) -> None:
    """Raises GenlabError for settings that neither `genlab train`, nor `sample`, nor `evaluate` takes."""
    if len(words) == 1 and words[0].startswith("model."):
        return check_model_key(words[0])
    if len(words) == 1 and words[0].partition("=")[0] in GROUPS:
        return None  # test_documentation.py knows the choices, and tests/config/test_config.py composes them all
    if any(word.partition("=")[0] in GROUPS for word in words):
        return check_composed("train", tuple(arrange(list(words))))
    keys = [word.partition("=")[0] for word in words]
    if all(re.match(r"(train|dataset|optimizer|device|model)\.|seed$", key) for key in keys):
        family = [] if not any(key.startswith("model.") for key in keys) else [f"model={_family_with(keys)}"]
        return check_composed("train", (*family, *_data_with(keys), *arrange(list(words))))
    if any("/" in key for key in keys):
        return None
    check_composed("evaluate" if set(keys) & EVALUATED else "sample", tuple(arrange(list(words))))


EVALUATED = {"k", "anomaly", "noise", "samples", "fid_steps", "latent", "ais.chains", "ais.temperatures"}


def _family_with(keys: Sequence[str]) -> str:
    own = {key.removeprefix("model.") for key in keys if key.startswith("model.")}
    return next(name for name in MODELS if own <= set(_section("model", name)))


def _data_with(keys: Sequence[str]) -> list[str]:
    own = {key.removeprefix("dataset.") for key in keys if key.startswith("dataset.")}
    sources = sorted(path.stem for path in configurations() if path.parent.name == "dataset")
    return [f"dataset={next(name for name in sources if own <= set(_section('dataset', name)))}"] if own else []


def _section(group: str, name: str) -> dict[str, Any]:
    content = configurations()[REPOSITORY / "conf" / group / f"{name}.yaml"]
    section = content.get(group, {}) if group == "model" else content
    assert isinstance(section, dict)
    return section


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


@pages
def test_every_setting_is_one(page: Page) -> None:
    refused = []
    for words in page.settings():
        try:
            if not any(word.endswith("=...") for word in words):
                check_setting(words)
        except Exception as error:
            refused.append(f"{' '.join(words)}: {type(error).__name__}: {error}")
    assert refused == []


# Examples that are run


SHORT = {
    "train": ["train.examples=128", "train.batch_size=64", "device.threads=1"],
    "evaluate": ["n=40", "k=2", "ais.chains=5", "ais.temperatures=20", "ais.sweeps=5"],
    "sample": ["n=4"],
}


def run_short(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *words = shlex.split(line)[1:]
    words = [word for word in words if word.partition("=")[0] not in {"n", "k"}]
    outcome = call([command, *words, *SHORT.get(command, [])], capsys)
    assert outcome.code == 0, f"{line}: {outcome.err}"


def commands_below(heading: str) -> list[str]:
    """Lines of README's blocks of commands between this heading and the next."""
    text = (REPOSITORY / "README.md").read_text()
    (part,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```bash\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def test_the_first_steps_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = commands_below("Start")
    assert lines[0] == "make train"
    run_short("genlab train", capsys)  # as its recipe in the Makefile does
    for line in lines:
        if line.startswith("genlab") and "dashboard" not in line:
            run_short(line, capsys)
    assert len(trained(tmp_path)) >= 2
    run_short(f"genlab compare {' '.join(str(run) for run in trained(tmp_path / 'outputs' / 'train'))}", capsys)


def test_own_data_can_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    np.save("events.npy", generator.normal(size=(600, 5)).astype("float32"))
    for name in ("one", "two"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(100):
            pixels = generator.integers(0, 256, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{k}.png")
    lines = [line for line in commands_below("Your own data") if not set(line.split()) & STARTED_ELSEWHERE]
    assert {"dataset=array", "dataset=image_folder"} <= {word for line in lines for word in line.split()}
    for line in lines:
        small = " model.network=mlp model.hidden=[16]" if "diffusion" in line else ""
        run_short(line + small, capsys)


def test_the_model_on_the_page_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reaches the likelihood of independent pixels, and README shows a part of it."""
    import genlab.models.latent

    page = read(REPOSITORY / "genlab" / "models" / "README.md")
    (code,) = [text for language, text in page.blocks if language == "python"]
    (configuration,) = [text for language, text in page.blocks if language == "yaml"]
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(configuration)
    monkeypatch.setattr(genlab.models.latent, "__path__", [*genlab.models.latent.__path__, str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    outcome = call(["train", "model=mine", "train.examples=10000", "--config-dir", str(tmp_path / "conf")], capsys)
    assert outcome.code == 0, outcome.err
    run_short("genlab evaluate", capsys)
    (run,) = trained(tmp_path)
    likelihood = strict_json((run / "metrics.json").read_text())["log_likelihood_exact"]
    assert likelihood["value"] == pytest.approx(likelihood["baseline"]["value"], abs=0.5)

    (shown,) = [text for language, text in read(REPOSITORY / "README.md").blocks if language == "python"]
    _, *body = shown.splitlines()
    assert textwrap.indent("\n".join(body), "    ") in code


# Whether a mistake is found


@pytest.mark.parametrize(
    "line",
    [
        "genlab train model=vea",
        "genlab train model.hidden=[3]",
        "genlab train model.latent_dim=-1",
        "genlab train -m model=ae,vae model.bta=1",
        "genlab sample smapler=gibbs",
        "genlab sample sampler=nothing",
        "genlab evaluate ais.chains=0",
        "genlab compare latest --metric fid",
        "genlab nothing",
        "make nothing",
        'make benchmark ARGS="nothing"',
        "pip install -e '.[nothing]'",
        "python -m tests.benchmarks.nothing",
        "make train  # a comment",
        "nothing",
    ],
)
def test_a_wrong_command_is_found(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 (Hydra's errors, ours and assertions alike)
        check_line(line, capsys)


@pytest.mark.parametrize(
    "words", [["model.k=0"], ["model.nothing=1"], ["model=vae", "train.epoch=3"], ["eta=2"], ["k=0"], ["nothing=1"]]
)
def test_a_wrong_setting_is_found(words: list[str]) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        check_setting(words)


def test_what_is_read_of_a_page(tmp_path: Path) -> None:
    path = REPOSITORY / "README.md"
    text = (
        "# A (b)\n\nSee `model=vae\ntrain.epochs=3` and [x](y.md#z), [k][l].\n\n```bash\ngenlab list\n```\n\n"
        "| a | b |\n|---|---|\n| `genlab train` | `k=3` \\| |\n\n[l]: https://x\n"
    )
    (tmp_path / "page.md").write_text(text)
    page = Page(path, *(lambda p: (p.blocks, p.prose))(read(tmp_path / "page.md")))
    assert page.lines() == ["genlab list", "genlab train"]
    assert page.settings() == [["model=vae", "train.epochs=3"], ["k=3"]]
    assert list(page.links()) == ["y.md#z", "https://x"]
    assert page.anchors() == {"a-b"}
    assert list(page.tables()) == [[["a", "b"], ["`genlab train`", "`k=3` \\|"]]]
