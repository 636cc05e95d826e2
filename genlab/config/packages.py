"""Installed packages that bring models, data sets or optimizers of their own.

A package registers its own folder of configurations by one entry point, in its pyproject.toml:

    [project.entry-points."genlab.conf"]
    mymodel = "genlab_mymodel.conf"

That folder is laid out as genlab's own conf/, with model/mymodel.yaml in it. Its choices stand beside those of genlab, and what
its files name by `_target_` may be built: whoever installed the package has allowed it. Nothing of a package is imported before
one of its choices is used; which there are is read from its files.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

GROUP = "genlab.conf"
"""The group of entry points; the value of one is the dotted path of a folder of configurations."""

USERS: list[Path] = []
"""Folders that --config-dir names, while a command runs: their choices stand beside the others, too."""

TARGET = re.compile(r"^\s*_target_:\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """An installed package with configurations."""

    name: str
    """Of the distribution, as pip calls it."""
    version: str
    conf: Path
    """Its folder of configurations."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@cache
def packages() -> tuple[Package, ...]:
    """Those that are installed, by name. One whose folder is not there is left out, and a line on standard error says so."""
    found = {}
    for point in metadata.entry_points(group=GROUP):
        folder = _folder(point.value.partition(":")[0].strip())
        if point.dist is not None and folder is None:
            _say_missing(point.dist.name, point.value)
        elif point.dist is not None and folder is not None:
            found[folder] = Package(point.dist.name, point.dist.version, folder)
    return tuple(sorted(found.values(), key=lambda package: package.name))


def _say_missing(name: str, dotted: str) -> None:
    top, _, inner = dotted.partition(":")[0].strip().partition(".")
    files = f'{top} = ["{inner.replace(".", "/") or "conf"}/**/*.yaml"]'
    print(
        f"genlab: warning: the package {name} names the folder of configurations {dotted}, and it is not installed; pack it "
        f"([tool.setuptools.package-data] {files} in its pyproject.toml), and install it again",
        file=sys.stderr,
    )


def _folder(dotted: str) -> Path | None:
    """The folder of a package. Finding its outermost one imports nothing."""
    top, *inner = dotted.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    return next((folder for place in places if (folder := Path(place, *inner)).is_dir()), None)


def own_files(group: str) -> Iterator[tuple[str, Traversable]]:
    """Name and file of every configuration of genlab itself in a group, in the order of their names."""
    for file in sorted((resources.files("genlab.conf") / group).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            yield file.name.removesuffix(".yaml"), file


def configurations(group: str) -> dict[str, tuple[Traversable, Package | None]]:
    """Name -> file, and the package that brings it (None: genlab itself), of a group. A name of genlab's stays genlab's."""
    found: dict[str, tuple[Traversable, Package | None]] = {name: (file, None) for name, file in own_files(group)}
    for package in packages():
        for file in sorted((package.conf / group).glob("*.yaml")):
            found.setdefault(file.stem, (file, package))
    for folder in USERS:
        for file in sorted((folder / group).glob("*.yaml")):
            found.setdefault(file.stem, (file, None))
    return found


@cache
def targets_of_packages(section: str) -> dict[str, Package]:
    """Target -> the package whose files name it, of a section of the configuration."""
    files = [(file, package) for package in packages() for file in sorted((package.conf / section).glob("*.yaml"))]
    return {target: package for file, package in files for target in TARGET.findall(file.read_text(encoding="utf-8"))}
