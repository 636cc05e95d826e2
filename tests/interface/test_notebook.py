"""The notebook of outputs/readme, executed as Jupyter does it, and the pages of the Python interface."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.processes import REPOSITORY, environment

NOTEBOOK = REPOSITORY / "outputs" / "readme" / "genlab.ipynb"


def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:  # the same cells with short trainings
        for length in ("200000", "100000", "50000"):
            cell.source = cell.source.replace(f"train.examples={length}", "train.examples=4000")
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment())
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert all(outputs)
    shown = [set(output.get("data", {})) for cell in outputs for output in cell]
    assert sum("image/png" in kinds for kinds in shown) >= 2
    assert sum("text/html" in kinds for kinds in shown) >= 4
    assert "did you mean 'optimizer.lr=0.1'?" in json.dumps(outputs[-2])
    rows = [output for output in outputs[0] if "examples" in str(output) and "left" in str(output)]
    assert len(rows) <= 1  # one row of progress, replaced as the training goes on


def test_the_notebook_holds_its_outputs_and_no_path_of_a_machine() -> None:
    text = NOTEBOOK.read_text()
    notebook = nbformat.reads(text, as_version=4)
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert "/home/" not in text
    assert "/tmp/" not in text
    assert len(text) < 600_000


@pytest.mark.slow
def test_pages_of_the_interface_are_written(tmp_path: Path) -> None:
    names = ["genlab", "genlab.models.latent"]
    code = f"from pathlib import Path; from tests.api_pages import write; write(Path({str(tmp_path)!r}), {names!r})"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment(), check=True, capture_output=True)
    page = (tmp_path / "genlab.html").read_text()
    for word in ("train", "load", "compare", "Run"):
        assert f'id="{word}"' in page
    assert "MathJax" in page
    assert r"$$" in (tmp_path / "genlab" / "models" / "latent.html").read_text()
    assert "FieldInfo" not in (tmp_path / "genlab" / "models" / "latent" / "vae.html").read_text()
