"""genlab train: compose -> build -> run."""

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from genlab.commands.job import hydra_files, run_job


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="train")
def main(config: DictConfig) -> float | None:
    return run_job(train, config)


def train(config: dict[str, Any], folder: Path) -> float:
    """Train the experiment that `config` describes in the new run folder `folder`; returns the best validation loss."""
    from genlab.experiment.experiment import check_experiment, make_dataset, make_model
    from genlab.experiment.starting import inherit, settle
    from genlab.tracking.run_folder import RunFolder

    parts = check_experiment(config)
    config = settle(config)
    where = parts.device.prepare()
    dataset = make_dataset(config).to(where)
    parts.length(dataset)  # refuses a length that does not fit before the folder is made
    model = make_model(config, dataset.spec)
    inherit(model, config)
    run = RunFolder(folder)
    run.create(config, hydra_files())
    from genlab.commands.fit import fit

    return fit(run, config, parts, dataset, model)
