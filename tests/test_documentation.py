"""Files, keys, choices and commands that a text names do exist: in pages, docstrings, comments, conf and messages."""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from genlab.cli import COMMANDS
from genlab.composition.catalogue import GROUPS, names
from tests.helpers.pages import PAGES, configurations, make_targets
from tests.helpers.processes import REPOSITORY

MODULES = sorted(path for top in ("genlab", "tests") for path in (REPOSITORY / top).rglob("*.py"))
ROOMS = {path.name for path in (REPOSITORY / "genlab").iterdir() if path.is_dir()} - {"__pycache__"}

NOT_OURS = {"captions.md", "config.yaml", "overrides.yaml", "hydra.yaml", "CARD.md"}
"""Files of a run folder, and of an export."""
PLACEHOLDER = re.compile(r"(?:^|[./_])(?:mine|mymodel|NAME|FAMILY|X)(?:[._/]|$)")
"""In the place of a name that a reader chooses."""
MISTYPED = {"model.latent_dm"}
"""What a page mistypes to show what genlab answers."""
HISTORY = {"tests/config/test_older_runs.py", "genlab/config/targets.py", ".github/CHANGELOG.md"}
"""Files that must name what has moved since."""

SECTIONS = ("model", "dataset", "optimizer", "device", "train", "preferred", "benchmark", "ais")
FILE = re.compile(r"(?<![\w./*$:-])((?:[\w*.-]+/)*[\w*-]+\.(?:py|yaml|md|toml|html))(?![\w/])(?!\.\w)")
FOLDER = re.compile(r"(?<![\w./*$-])((?:[\w.-]+/)+[\w.-]*)(?![\w/*])")
MODULE = re.compile(r"(?<![\w./])((?:genlab|tests)(?:\.\w+)+)")
KEY = re.compile(
    rf"(?<![\w./*-])({'|'.join(SECTIONS)})\.([a-z]\w*)(?![\w(/])(?<!\.json)(?<!\.py)(?<!\.pt)(?<!\.pt2)(?<!\.yaml)(?<!\.safetensors)"
)
CHOICE = re.compile(rf"(?<![\w.])({'|'.join(GROUPS)})=([a-z][a-z0-9_]*(?:,[a-z][a-z0-9_]*)*)(?![\w./{{(\0])")
NAMED = re.compile("|".join(pattern.pattern for pattern in (FILE, FOLDER, MODULE, KEY, CHOICE)))
CODE_SPAN = re.compile(r"(`+)(?! )(.+?)\1", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


# What is there


@functools.cache
def keys(section: str) -> frozenset[str]:
    """All keys that a file in conf/ gives a section: of models the union over families."""
    found: set[str] = set()
    for path, content in configurations().items():
        if path.parent.name == section:
            found |= content.keys()
        part = content.get(section)
        if isinstance(part, dict) and path.parent.name != "experiment":
            found |= part.keys()
    return frozenset(found)


@functools.cache
def is_there(word: str, *folders: Path) -> bool:
    """Whether a file or folder is there: below one of `folders`, where * stands for anything."""
    return any(next(iter(folder.glob(word.rstrip("/"))), None) is not None for folder in folders)


def is_module(name: str) -> bool:
    """Whether a dotted name is a module, or a name that a module defines."""
    parts = name.split(".")
    if parts[:2] == ["genlab", "conf"]:
        return is_there("/".join(parts[1:]), REPOSITORY) or is_there("/".join(parts[1:]) + ".yaml", REPOSITORY)
    for count in range(len(parts), 0, -1):
        path = REPOSITORY.joinpath(*parts[:count])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.exists():
            return count == len(parts) or parts[count] in defined(file)
    return False


@functools.cache
def defined(file: Path) -> frozenset[str]:
    """Names in a module, those of classes included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.asname or alias.name for alias in node.names}
    return frozenset(found)


# What is said


def code_of(text: str) -> Iterator[str]:
    """Code spans and code blocks (fenced, or indented by four) of Markdown, and where its links lead."""
    text = re.sub(
        r"```\w*\n(.*?)```",
        lambda block: "\n" + re.sub("^", "    ", block[1], flags=re.MULTILINE),
        text,
        flags=re.DOTALL,
    )
    rest = []
    for line in text.splitlines():
        if line.startswith("    "):
            yield line
        else:
            rest.append(line)
    for paragraph in "\n".join(rest).split("\n\n"):
        for span in CODE_SPAN.finditer(paragraph):
            yield " ".join(span[2].split())
        for link in LINK.finditer(paragraph):
            if "://" not in link[1]:
                yield link[1]


@functools.cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source)))


def comments(source: str) -> Iterator[str]:
    if not any(NAMED.search(line.partition("#")[2]) for line in source.splitlines()):
        return  # reading every word of a file takes long
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def docstrings(source: str) -> Iterator[str]:
    """Of modules, classes, functions and attributes: every string that stands alone."""
    for node in nodes(source):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def messages(source: str) -> Iterator[str]:
    """Every other string; \\0 in the place of what is put in as the program runs."""
    alone = {id(node.value) for node in nodes(source) if isinstance(node, ast.Expr)}
    known = alone | {id(part) for node in nodes(source) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes(source):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in known:
            yield node.value


# What is said and not there


def missing_files(text: str, *folders: Path) -> list[str]:
    words = {word for word in FILE.findall(text) if Path(word).name not in NOT_OURS}
    words |= {word for word in FOLDER.findall(text) if leads_into_the_repository(word)}
    return sorted(word for word in words if not PLACEHOLDER.search(word) and not is_there(word, *folders))


def leads_into_the_repository(word: str) -> bool:
    """Whether a path without an extension is one of ours, and no name of a measure such as train/loss."""
    parts = word.rstrip("/").split("/")
    if "." in parts[-1].lstrip("."):
        return False  # files of other kinds lie in run folders
    inner = ROOMS if len(parts) > 1 else ROOMS - {"data", "evaluation"}  # these are folders of users and of runs, too
    return parts[0] in {"genlab", "tests", "conf", ".github", ".ci"} | inner


def missing_modules(text: str) -> list[str]:
    return sorted({name for name in MODULE.findall(text) if not PLACEHOLDER.search(name) and not is_module(name)})


def missing_keys(text: str) -> list[str]:
    return sorted({f"{section}.{key}" for section, key in KEY.findall(text) if key not in keys(section)})


def missing_choices(text: str) -> list[str]:
    found = ((group, name) for group, chosen in CHOICE.findall(text) for name in chosen.split(","))
    return sorted(
        {f"{group}={name}" for group, name in found if name not in names(group) and not PLACEHOLDER.search(name)}
    )


def missing_commands(text: str) -> list[str]:
    targets = make_targets()
    found = {f"genlab {word}" for word in re.findall(r"(?:^|[;(|$])\s*genlab ([a-z]\w*)", text) if word not in COMMANDS}
    return sorted(
        found | {f"make {word}" for word in re.findall(r"^\s*make ([a-z][\w-]*)", text) if word not in targets}
    )


def mirrored(folder: Path) -> Path:
    """The folder of genlab that a folder of tests is about."""
    inner = folder.relative_to(REPOSITORY / "tests") if folder.is_relative_to(REPOSITORY / "tests") else Path()
    return REPOSITORY / "genlab" / inner


def said_by(path: Path, found: Iterable[str]) -> list[str]:
    return [f"{path.relative_to(REPOSITORY)}: {word}" for word in found]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_documents_name_what_is_there(path: Path) -> None:
    missing = []
    if str(path.relative_to(REPOSITORY)) in HISTORY:
        return
    for text in code_of(path.read_text()):
        missing += missing_files(text, REPOSITORY, REPOSITORY / "genlab", path.parent)
        missing += missing_modules(text) + missing_keys(text) + missing_choices(text) + missing_commands(text)
    assert said_by(path, (word for word in missing if word not in MISTYPED)) == []


def test_docstrings_and_comments_name_what_is_there() -> None:
    missing = []
    for path in MODULES:
        source = path.read_text()
        if str(path.relative_to(REPOSITORY)) in HISTORY:
            continue
        for text in (*docstrings(source), *comments(source)):
            found = missing_files(text, REPOSITORY, REPOSITORY / "genlab", path.parent, mirrored(path.parent))
            missing += said_by(path, found + missing_modules(text) + missing_keys(text) + missing_choices(text))
    assert missing == []


def test_messages_name_keys_and_choices_that_are_there() -> None:
    missing = []
    for path in MODULES:
        if path.is_relative_to(REPOSITORY / "genlab"):
            for text in messages(path.read_text()):
                missing += said_by(path, missing_keys(text) + missing_choices(text))
    assert missing == []


def test_configuration_files_name_what_is_there() -> None:
    missing = []
    for path in configurations():
        for line in path.read_text().splitlines():
            text = line.partition("#")[2]
            found = missing_files(text, REPOSITORY, REPOSITORY / "genlab", REPOSITORY / "conf", path.parent)
            missing += said_by(path, found + missing_modules(text) + missing_keys(text) + missing_choices(text))
    assert missing == []


# Whether a made-up name is found


def test_a_file_that_is_not_there_is_found() -> None:
    text = (
        "Noise (models/diffusion/nothing.py, base.py, models/nowhere/), see genlab/models/base.py and conf/model/*.yaml"
    )
    assert missing_files(text, REPOSITORY, REPOSITORY / "genlab") == [
        "base.py",
        "models/diffusion/nothing.py",
        "models/nowhere/",
    ]
    assert missing_files(text, REPOSITORY, REPOSITORY / "genlab", REPOSITORY / "genlab" / "models") == [
        "models/diffusion/nothing.py",
        "models/nowhere/",
    ]
    assert (
        missing_files("train/loss, config.yaml, a/b, genlab/models/mine.py, evaluation/evaluation.json", REPOSITORY)
        == []
    )
    assert missing_modules("genlab.models.VAE, genlab.models.base, genlab.features, genlab.errors.Gone") == [
        "genlab.errors.Gone",
        "genlab.features",
    ]


def test_a_key_or_choice_that_is_not_there_is_found() -> None:
    text = "model.latent_dim=3 model.latent_dm train.epochs=5 dataset.rot=x optimizer.lr ais.chains model.py"
    assert missing_keys(text) == ["dataset.rot", "model.latent_dm"]
    assert missing_choices("model=vae,vea dataset=mnist experiment=nothing model=\0 device=auto") == [
        "experiment=nothing",
        "model=vea",
    ]
    assert missing_commands("genlab trian model=vae") == ["genlab trian"]
    assert missing_commands("make tset") == ["make tset"]


def test_what_a_text_names_is_found_wherever_it_stands() -> None:
    markdown = "A `genlab train` of\n[x](genlab/x.py), [y](https://y/z.py) `model.a\nmodel.b`\n\n    genlab list\n"
    assert list(code_of(markdown)) == ["    genlab list", "genlab train", "model.a model.b", "genlab/x.py"]
    source = '"""One."""\nx = 1  # two.py\n"""Three."""\nraise E(f"four={x}: set model.five={x}", "six")\n'
    assert list(docstrings(source)) == ["One.", "Three."]
    assert list(comments(source)) == ["# two.py"]
    assert sorted(messages(source)) == ["four=\0: set model.five=\0", "six"]
