"""A trained run for others: found, opened and written."""

import logging
import warnings
from pathlib import Path

from genlab.composition.resolvers import run_name
from genlab.config.targets import words_that_allow
from genlab.experiment.opening import Which, open_run
from genlab.experiment.starting import CPU
from genlab.export.bundle import check_folder_of_export, export
from genlab.tracking.console import fact
from genlab.tracking.next_steps import to_type
from genlab.tracking.which_run import find_run


def own_name(run: Path) -> str:
    """The name of a run's folder; of a job of a sweep with that of the sweep, as other sweeps have the same jobs."""
    return f"{run.parent.name}_{run.name}" if (run.parent / "multirun.yaml").exists() else run.name


def export_run(
    name: str, folder: str | Path | None = None, checkpoint: Which = "auto", overwrite: bool = False
) -> Path:
    """Write the run `name` into `folder`, or below outputs/export; returns that folder.

    Raises GenlabError where there is no such run, or where something lies there that `overwrite` does not allow to replace.
    """
    run = find_run(name)
    place = Path(folder) if folder else Path("outputs") / "export" / run_name(run.path) / own_name(run.path.resolve())
    check_folder_of_export(place, overwrite)
    opened = open_run(run, CPU, checkpoint)
    with warnings.catch_warnings():  # of torch's own, about its internals
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            written = export(opened, place)
        finally:
            logging.disable(before)
    fact("written", "\n".join([str(written[0]), *(f"{15 * ' '}{path}" for path in written[1:])]))
    if not (place / "model.pt2").exists():
        fact("remark", "this family has no decoder, no log_prob and no step that stands alone: there is no model.pt2")
    if not (run.path / "metrics.json").exists():
        own = words_that_allow(opened.experiment.config)
        fact(
            "next",
            f"{to_type('evaluate', f'run={run.path}', *own)}\n{15 * ' '}(then its measures are in the card, too)",
        )
    return place
