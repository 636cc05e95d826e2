"""Changing the name, the tags and the note of a run, also of one that is being trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError
from genlab.tracking import run_names
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.run_names import RunNames
from genlab.tracking.which_run import runs_below


def refuse_taken(name: str | None, folder: Path, outputs: Path = Path("outputs")) -> None:
    """Raises GenlabError where a run under outputs/train, other than that in `folder`, has this name."""
    for path in [] if name is None else runs_below(outputs / "train"):
        if path.resolve() != folder.resolve() and RunFolder(path).info().get("name") == name:
            free = to_type("runs", "set", path, "name=null")
            raise GenlabError(
                f"name={name}: {path} is called so already; choose another, or take it away there: {free}"
            )


def describe(run: RunFolder, changes: Sequence[str], outputs: Path = Path("outputs")) -> RunNames:
    """Apply changes such as 'name=wide', 'tag=a,-b', 'note=a text' to run.json; returns what it says now.

    Raises GenlabError for what cannot be one, and for a name that another run under outputs/train has.
    """
    after = run_names.changed(run_names.of_info(run.info()), changes)
    if any(change.startswith("name=") for change in changes):
        refuse_taken(after.name, run.path, outputs)

    def change(info: dict[str, Any]) -> dict[str, Any]:
        return run_names.changed(run_names.of_info(info), changes).facts()

    run.update(change)
    return run_names.of_info(run.info())
