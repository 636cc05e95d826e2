"""`make docs`: pages of the Python interface, and of every module below it, from their docstrings (pdoc)."""

import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pdoc
import pdoc.doc
import pdoc.render

import genlab
from tests.helpers.processes import REPOSITORY

LEFT_OUT = ("genlab.conf", "genlab.__main__", "genlab.cli", "genlab.commands.feature_weights")


def modules() -> Iterator[str]:
    """genlab first, then all its modules by name."""
    yield "genlab"
    for path in sorted((REPOSITORY / "genlab").rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name != "genlab" and not name.startswith(LEFT_OUT):
            yield name


def plain(annotation: Any) -> Any:
    """A type without the ranges that the configuration is checked against."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    inner = tuple(plain(one) if not isinstance(one, str | int | float | None) else one for one in get_args(annotation))
    if not inner or get_origin(annotation) is Literal:
        return annotation
    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, inner)
    if inner == get_args(annotation):
        return annotation
    return get_origin(annotation)[inner if len(inner) > 1 else inner[0]]


def write(folder: Path, names: list[str]) -> None:
    """Pages of the modules `names`. That of a package has its README.md, where the equations of a branch stand."""
    for name in names:
        module = import_module(name)
        for lazy in getattr(module, "__all__", ()):  # imported when it is asked for
            getattr(module, lazy)
        page = Path(str(module.__file__)).with_name("README.md")
        if hasattr(module, "__path__") and page.exists():
            equations = re.sub(r"```math\n(.*?)```", r"$$\n\1$$", page.read_text(), flags=re.DOTALL)
            module.__doc__ = f"{module.__doc__ or ''}\n\n{equations}"
    rooms = [name for name in names if hasattr(import_module(name), "__path__") and name.count(".") == 1]
    branches = [name for name in names if name.startswith("genlab.models.") and name.count(".") == 2]
    listed = ", ".join(f"`{name}`" for name in [*rooms, *branches] if hasattr(import_module(name), "__path__"))
    genlab.__doc__ = f"{genlab.__doc__}\n\nFurther pages: {listed}." if listed else genlab.__doc__
    as_text = inspect.formatannotation
    for module in (inspect, pdoc.doc):
        vars(module)["formatannotation"] = lambda annotation, *rest, **keys: as_text(plain(annotation), *rest, **keys)
    pdoc.render.configure(math=True, footer_text=f"genlab {genlab.__version__}", show_source=True)
    warnings.filterwarnings("ignore", "Cannot determine where")  # fields of classes that an abstract one has named
    warnings.filterwarnings("ignore", "Found .* in genlab.models.__all__")  # each has its page where its file is
    warnings.filterwarnings("ignore", "The module specification .* adds a module")  # a package brings its modules
    pdoc.pdoc(*names, output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "outputs" / "docs"
    write(target, list(modules()))
    print(f"open {target / 'index.html'}")
