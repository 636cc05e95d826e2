"""genlab sample run=RUN: samples of a trained model and more, as pictures and as arrays."""

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from genlab.commands.job import run_job


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="sample")
def main(config: DictConfig) -> float | None:
    return run_job(sample, config)


def sample(config: dict[str, Any], folder: Path) -> None:
    from genlab.interface.sampling_run import sample_run  # seconds to import, which a mistyped word need not wait for

    sample_run(config, folder)
