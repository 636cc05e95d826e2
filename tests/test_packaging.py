"""What is installed is complete: the configuration files and every package, from a wheel as from the checkout."""

import ast
import os
import re
import shutil
import site
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import genlab
from tests.helpers.processes import REPOSITORY, environment, info, trained

ASSETS = (
    ".safetensors",
    ".html",
    ".typed",
    ".txt",
)  # weights of the feature networks, the page of compare, the mark of types
CONFIGS = sorted(str(path.relative_to(REPOSITORY / "conf")) for path in (REPOSITORY / "conf").rglob("*.yaml"))


DISTRIBUTIONS = {
    "PIL": "pillow",
    "hydra": "hydra-core",
    "pydantic_core": "pydantic",  # pydantic asks for one version of it
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""Module -> the distribution that holds it, where that has another name."""


def pyproject() -> dict[str, Any]:
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def settings() -> dict[str, list[str]]:
    found = pyproject()["tool"]["setuptools"]
    assert isinstance(found, dict)
    return found


def distributions(requirements: Iterable[str]) -> set[str]:
    """Names out of requirements such as 'torch>=2.6'."""
    return {re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def third_party(source: str) -> dict[str, bool]:
    """Distribution that a file imports -> whether it can do without: every such import is one that may fail."""
    nodes = list(ast.walk(ast.parse(source)))
    tried = {id(node) for block in nodes if isinstance(block, ast.Try) for node in ast.walk(block)}
    found: dict[str, bool] = {}
    for node in nodes:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in ("genlab", "tests"):
                distribution = DISTRIBUTIONS.get(top, top).lower()
                found[distribution] = found.get(distribution, True) and id(node) in tried
    return found


def test_imports_of_other_packages_are_found() -> None:
    source = "import os, yaml.nodes\nfrom torch import nn\ndef f():\n    try:\n        import umap\n    except ImportError: ..."
    assert third_party(source) == {"pyyaml": False, "torch": False, "umap-learn": True}
    assert distributions(["PyYAML>=6", "hydra-core>=1.3.6,<1.4", "torch"]) == {"pyyaml", "hydra-core", "torch"}


def test_whatever_is_imported_is_declared() -> None:
    """What comes with another package today may not come with it tomorrow."""
    project = pyproject()["project"]
    needed = distributions(project["dependencies"])
    extras = needed.union(*(distributions(extra) for extra in project["optional-dependencies"].values()))
    missing = []
    for top in ("genlab", "tests"):
        for path in sorted((REPOSITORY / top).rglob("*.py")):
            for name, optional in third_party(path.read_text()).items():
                if name not in (extras if optional or top == "tests" else needed):
                    missing.append(f"{path.relative_to(REPOSITORY)}: {name}")
    assert missing == []


def packages() -> set[str]:
    """Every folder with Python files of genlab, and every folder with files of conf, by its dotted name."""
    found = set()
    for top, name, pattern in (
        (REPOSITORY / "genlab", "genlab", "*.py"),
        (REPOSITORY / "conf", "genlab.conf", "*.yaml"),
    ):
        for folder in {path.parent for path in top.rglob(pattern)}:
            found.add(".".join([name, *folder.relative_to(top).parts]))
    return found


def test_every_package_is_listed() -> None:
    """A new folder that pyproject.toml does not list would be missing from the wheel alone."""
    assert set(settings()["packages"]) == packages()
    assert len(settings()["packages"]) == len(packages())


def test_the_checkout_that_is_installed_here_reads_the_files_in_conf() -> None:
    assert Path(genlab.__file__).parent == REPOSITORY / "genlab"
    assert Path(str(resources.files("genlab.conf"))).resolve() == REPOSITORY / "conf"


def execute(command: list[str | Path], folder: Path, **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("genlab", "conf"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, source / name)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    execute([*pip, "-w", folder / "dist", source], folder)
    (built,) = (folder / "dist").iterdir()
    return built


def test_the_wheel_holds_every_module_and_every_configuration(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {f"genlab/{p.relative_to(REPOSITORY / 'genlab')}" for p in (REPOSITORY / "genlab").rglob("*.py")}
    assets = {str(p.relative_to(REPOSITORY)) for p in (REPOSITORY / "genlab").rglob("*") if p.suffix in ASSETS}
    assert {Path(name).suffix for name in assets} == set(ASSETS)
    assert held == modules | assets | {f"genlab/conf/{name}" for name in CONFIGS} | {"genlab/conf/__init__.py"}


def test_the_wheel_works_where_there_is_no_checkout(wheel: Path, tmp_path: Path) -> None:
    venv, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    execute([sys.executable, "-m", "venv", "--without-pip", venv], tmp_path)
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    (packages,) = {Path(line) for line in execute([python, "-c", PURELIB], empty).split()}
    # Torch and the others are those that are installed already. A path in a .pth file is searched last, and the .pth
    # files in it are not read: so the checkout, which one of them names, stays out of sight.
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    execute([*pip, wheel], empty)
    found = Path(execute([python, "-c", "import genlab; print(genlab.__file__)"], empty).strip())
    assert found == packages / "genlab" / "__init__.py"

    listed = execute([python.with_name("genlab"), "list"], empty)
    assert all(Path(name).stem in listed for name in CONFIGS if "/" in name)
    execute([python.with_name("genlab"), "train", "train.examples=2000"], empty)
    (run,) = trained(empty)
    assert info(run)["state"] == "finished"
    assert info(run)["git"] is None  # the source that ran is no checkout
    assert [path.name for path in empty.iterdir()] == ["outputs"]


PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"
