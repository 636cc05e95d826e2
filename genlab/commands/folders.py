"""A folder of its own for every command that Hydra starts (tracking/own_folder.py)."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from genlab.composition.words import as_typed
from genlab.tracking.own_folder import own_folder

STUDIES = Path("outputs/train/search")
"""Where a search lies whose study has a name."""


class OwnFolder(Callback):
    """Hydra calls this before it makes the folder of a job or of a sweep. A folder that the user names is left as it is."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _reserve(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _reserve(config, "sweep")


def _reserve(config: DictConfig, mode: str) -> None:
    key = f"hydra.{mode}.dir"
    given = config.hydra.overrides.hydra
    if any(override.lstrip("+").startswith(f"{key}=") for override in as_typed(given)):
        return
    current = HydraConfig.instance()
    before, readonly = current.cfg, OmegaConf.is_readonly(config.hydra)
    try:
        current.set_config(config)  # the names of folders refer to it
        wanted = Path(config.hydra[mode].dir)
        study = config.hydra.sweeper.get("study_name") if mode == "sweep" else None
        folder = STUDIES / str(study) if study else own_folder(wanted)  # the same name again goes on with it
    except Exception:  # Hydra meets the same one next, and reports it
        return
    finally:
        current.cfg = before
        OmegaConf.set_readonly(config.hydra, readonly)  # set_config has set it
    if folder != wanted:
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra[mode].dir = str(folder)
            given.append(f"{key}='{folder}'")  # from which Hydra composes the jobs of a sweep anew
