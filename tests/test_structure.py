"""The house: who imports whom, where modules lie, how long they are. Types count as imports too."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.processes import REPOSITORY

FLOORS = (
    "errors",
    "config",
    "numerics",
    "metrics",
    "lattice",
    "data",
    "plots",
    "tracking",
    "optimizers",
    "networks",
    "models",
    "inference",
    "evaluation",
    "training",
    "experiment",
    "export",
    "report",
    "benchmark",
    "composition",
    "interface",
    "sweeping",
    "commands",
    "cli",
    "__main__",
)
"""From the ground up: a room imports from those below it and from itself."""

AT_THE_TOP = {"__init__.py", "__main__.py", "cli.py", "errors.py"}
LONGEST, MEDIAN = 350, 120  # lines


def modules(top: str = "genlab") -> dict[str, Path]:
    """Dotted name -> file."""
    found = {}
    for path in sorted((REPOSITORY / top).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of genlab that a file imports, wherever in it and for whatever purpose."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else str(node.module))
    return found & set(known)


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path, known) - {name} for name, path in known.items()}


def floor(module: str) -> int:
    """Of genlab itself (its version) the ground."""
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 else 0


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other (Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(here: str) -> None:
        number[here] = low[here] = len(number)
        stack.append(here)
        for there in edges[here]:
            if there not in number:
                visit(there)
                low[here] = min(low[here], low[there])
            elif there in stack:
                low[here] = min(low[here], number[there])
        if low[here] == number[here]:
            group = []
            while (last := stack.pop()) != here:
                group.append(last)
            if group:
                found.append(sorted([here, *group]))

    for module in edges:
        if module not in number:
            visit(module)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_two_files_import_each_other() -> None:
    edges = {name: found - {"genlab", "genlab.models"} for name, found in graph().items()}  # lazy fronts of a package
    assert circles(edges) == []


def test_no_two_rooms_import_each_other() -> None:
    rooms: dict[str, set[str]] = {room: set() for room in FLOORS}
    for name, found in graph().items():
        if "." in name:
            rooms[name.split(".")[1]] |= {there.split(".")[1] for there in found if "." in there}
    assert circles({room: found - {room} for room, found in rooms.items()}) == []


def test_imports_go_downwards_only() -> None:
    upward = [f"{a} -> {b}" for a, found in graph().items() for b in sorted(found) if floor(b) > floor(a)]
    assert [line for line in upward if not line.startswith("genlab -> ")] == []


def test_no_module_lies_loose_at_the_top() -> None:
    assert {path.name for path in (REPOSITORY / "genlab").glob("*.py")} <= AT_THE_TOP
    rooms = {
        path.parent.relative_to(REPOSITORY / "genlab").parts[0] for path in (REPOSITORY / "genlab").glob("*/**/*.py")
    }
    assert rooms <= set(FLOORS)


def test_a_file_name_means_one_thing() -> None:
    names = Counter(path.name for path in modules().values() if path.name not in ("__init__.py", "__main__.py"))
    assert [name for name, times in names.items() if times > 1] == []


def test_files_are_short() -> None:
    lengths = sorted(
        (len(path.read_text().splitlines()), str(path.relative_to(REPOSITORY))) for path in modules().values()
    )
    assert [line for line in lengths if line[0] > LONGEST] == []
    files = [length for length, path in lengths if not path.endswith("__init__.py")]
    assert files[len(files) // 2] < MEDIAN


@pytest.mark.parametrize("family", sorted((REPOSITORY / "conf" / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_family_is_found_by_its_name(family: Path) -> None:
    """model=NAME in conf leads to NAME.py in one step."""
    assert [path for path in modules().values() if path.name == f"{family.stem}.py" and "models" in path.parts]
