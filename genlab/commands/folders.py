"""A folder of its own for every command: two that start in the same second get two names."""

from itertools import count
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write


def own_folder(wanted: Path) -> Path:
    """Make the folder `wanted`, or where it is there already `wanted_2`, `wanted_3`, ...; returns the one that was made.

    Of two processes that ask for the same, each gets one.
    """
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("numbers do not end")


class OwnFolder(Callback):
    """Hydra calls this before it makes the folder of a job or of a sweep. A folder that the user names is left as it is."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _reserve(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _reserve(config, "sweep")


def _reserve(config: DictConfig, mode: str) -> None:
    key = f"hydra.{mode}.dir"
    given = config.hydra.overrides.hydra
    if any(str(override).lstrip("+").startswith(f"{key}=") for override in given):
        return
    current = HydraConfig.instance()
    before = current.cfg
    try:
        current.set_config(config)  # the names of folders refer to it
        wanted = Path(config.hydra[mode].dir)
        folder = own_folder(wanted)
    except Exception:  # Hydra meets the same one next, and reports it
        return
    finally:
        current.cfg = before
    if folder != wanted:
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra[mode].dir = str(folder)
            given.append(f"{key}='{folder}'")  # from which Hydra composes the jobs of a sweep anew
