"""One training from a composed configuration: everything is checked and built, then the run folder is made and filled."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genlab.training.trainer import Trainer  # seconds to import


def train_run(
    config: dict[str, Any],
    folder: Path,
    hydra_files: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
    shell: bool = True,
    watch: "Callable[[Trainer], None] | None" = None,
    **facts: Any,
) -> float:
    """Train the experiment that `config` describes in the new run folder `folder`; returns the best validation loss.

    `hydra_files` and `command` are kept in the folder; the command is that of this process by default. In a `shell` the report
    ends with the commands to type next. `watch` is given the trainer before it starts, where that is in this process. `facts` are
    noted in run.json before the training begins. Raises GenlabError for a mistake, before anything is written.
    """
    from genlab.data.places import absolute
    from genlab.experiment.experiment import Experiment
    from genlab.experiment.starting import copy_start, describe_start
    from genlab.numerics import ranks
    from genlab.tracking import run_names
    from genlab.tracking.naming import refuse_taken
    from genlab.tracking.other_trackers import require_installed
    from genlab.tracking.run_folder import RunFolder

    experiment = Experiment(config)
    require_installed(config.get("tracker"))
    if not (folder.parent / "multirun.yaml").exists():  # jobs of a sweep may share a name: SWEEP/JOB tells them apart
        refuse_taken(run_names.of_config(config).name, folder)
    if (processes := experiment.processes) > 1 and not ranks.joined():
        from genlab.interface.processes import in_processes

        job = {"do": "train", "config": config, "folder": str(folder), "hydra_files": dict(hydra_files or {})}
        words = list(command or [Path(sys.argv[0]).name, *sys.argv[1:]])
        return in_processes(
            processes,
            RunFolder(folder),
            experiment.device.timeout,
            {**job, "command": words, "shell": shell, "facts": facts},
        )
    describe_start(experiment)
    experiment.build()
    copy_start(experiment)
    experiment.config["dataset"] = absolute(experiment.config["dataset"])
    run = RunFolder(folder)
    run.create(experiment.config, hydra_files, command, **facts)
    from genlab.interface.session import train_to_the_end

    return train_to_the_end(experiment, run, shell, watch)
