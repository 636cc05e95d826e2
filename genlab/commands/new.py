"""genlab new model NAME: the files of a model of one's own, to start from: the family, its configuration, and its test."""

import importlib.util
import keyword
import re
import shlex
import shutil
import sys
from importlib import resources
from pathlib import Path

from genlab.config.packages import configurations
from genlab.errors import GenlabError
from genlab.tracking.next_steps import below_each_other, to_type

USAGE = """\
usage: genlab new model NAME [--folder FOLDER]

Writes a small model that trains at once, for you to change. It stays outside of genlab:

  FOLDER/NAME.py               the family: its training loop, its sampling loop, its measures
  FOLDER/conf/model/NAME.yaml  the defaults of its keys
  FOLDER/test_NAME.py          a test of it

FOLDER is this folder, unless you name another one. What is there already stays as it is.

  genlab new model mine
  genlab train model=mine --config-dir conf
"""
LONGEST = 40  # characters of a name


def main(arguments: list[str]) -> int:
    if not arguments or "-h" in arguments or "--help" in arguments:
        print(USAGE, end="")
        return 0
    words, folder = _parse(arguments)
    if words[0] != "model":
        raise GenlabError(f"new {words[0]}: only a model can be made; write {to_type('new', 'model', 'NAME')}")
    if len(words) != 2:
        given = ", ".join(words[1:]) or "none"
        raise GenlabError(f"new model takes one name, as in {to_type('new', 'model', 'mine')} (given: {given})")
    name = words[1].removeprefix("name=")
    check(name, folder)
    for path in write(name, folder):
        print(f"wrote {path}")
    print(f"  next         {below_each_other(_next_steps(name, folder))}")
    return 0


def _parse(arguments: list[str]) -> tuple[list[str], Path]:
    """The words, and the folder. Raises GenlabError for what is neither."""
    words, folder, rest = [], Path(), list(arguments)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if flag.lstrip("-") == "folder" and (equals or word.startswith("-")):
            value = value if equals else rest.pop(0) if rest else ""
            if not value:
                raise GenlabError(f"{flag} needs a value; write {flag} FOLDER")
            folder = Path(value)
        elif word.startswith("-"):
            raise GenlabError(f"{word} is not a flag of new; the only one is --folder FOLDER")
        else:
            words.append(word)
    if not words:
        raise GenlabError(f"new: name what is to be made, as in {to_type('new', 'model', 'mine')}")
    return words, folder


def check(name: str, folder: Path) -> None:
    """Raises GenlabError where the name can be none of a module, means something else already, or a file would be lost."""
    right = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or len(name) > LONGEST:
        hint = f"; did you mean '{right}'?" if _is_name(right) and right != name else ", as in my_model"
        raise GenlabError(
            f"new model {name}: should be a name of {LONGEST} characters at most, of small letters, digits and _, and no word of "
            f"Python{hint}"
        )
    if name in configurations("model"):
        raise GenlabError(
            f"new model {name}: model={name} is there already (see genlab list models); choose another name"
        )
    taken = sorted(path for path in _files(name, folder).values() if path.exists())
    if taken:
        raise GenlabError(
            f"new model {name}: {taken[0]} is there already, and stays as it is; choose another name or --folder"
        )
    spec = importlib.util.find_spec(name)
    if spec is not None:
        place = spec.origin or "Python"
        raise GenlabError(
            f"new model {name}: import {name} means {place} already; choose another name, such as my_{name}"
        )
    for parent in (folder, folder / "conf", folder / "conf" / "model"):
        if parent.exists() and not parent.is_dir():
            raise GenlabError(f"--folder {folder}: {parent} is a file, not a folder; name another folder")


def _is_name(name: str) -> bool:
    return bool(re.fullmatch(r"[a-z][a-z0-9_]*", name)) and not keyword.iskeyword(name) and len(name) <= LONGEST


def _files(name: str, folder: Path) -> dict[str, Path]:
    """Template -> the file that it becomes."""
    return {
        "model.py.txt": folder / f"{name}.py",
        "model.yaml.txt": folder / "conf" / "model" / f"{name}.yaml",
        "test_model.py.txt": folder / f"test_{name}.py",
    }


def write(name: str, folder: Path) -> list[Path]:
    """Write the files; returns their paths. Raises OSError where that cannot be done."""
    class_name = "".join(part.capitalize() for part in name.split("_"))
    found = _files(name, folder)
    for template, path in found.items():
        text = (resources.files("genlab.commands.new_model") / template).read_text(encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("CLASS", class_name).replace("NAME", name), encoding="utf-8")
    return list(found.values())


def _next_steps(name: str, folder: Path) -> list[str]:
    conf, test = folder / "conf", folder / f"test_{name}.py"
    return [
        to_type("train", f"model={name}", "--config-dir", conf),
        to_type("train", f"model={name}", "dataset=toy2d", "--config-dir", conf),
        to_type("train", f"model={name}", "--config-dir", conf, "--help"),
        to_type("evaluate", "--config-dir", conf),
        f"{_python()} -m pytest {shlex.quote(str(test))}",
    ]


def _python() -> str:
    """`python` where that is this one, else its path."""
    found = shutil.which("python")
    return "python" if found and Path(found).samefile(sys.executable) else shlex.quote(sys.executable)
