"""`make docs`: pages of the Python interface, and of every module below it, from their docstrings (pdoc)."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pdoc
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


def write(folder: Path, names: list[str]) -> None:
    for name in genlab.__all__:  # which are imported when they are asked for
        getattr(genlab, name)
    pdoc.render.configure(math=True, footer_text=f"genlab {genlab.__version__}", show_source=True)
    warnings.filterwarnings("ignore", "Cannot determine where")  # fields of classes that an abstract one has named
    pdoc.pdoc(*names, output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "outputs" / "docs"
    write(target, list(modules()))
    print(f"open {target / 'index.html'}")
