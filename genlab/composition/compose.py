"""The configuration that words mean, as Python asks for it: what Hydra makes of the same words on the command line.

Nothing of Hydra that the caller may use is changed: its instances and resolvers are those of before afterwards.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlab.composition.arguments import arrange
from genlab.composition.explain import explain
from genlab.composition.own_code import allow_composed
from genlab.composition.resolvers import register_interpolations
from genlab.composition.search_path import extend
from genlab.composition.words import as_typed, expand_home
from genlab.errors import GenlabError

_one_at_a_time = threading.RLock()


@dataclass(frozen=True)
class Composed:
    """What a command gets from Hydra."""

    config: dict[str, Any]
    """Resolved, without Hydra's own part."""
    folder: Path
    """The run folder that follows from the words and the time."""
    hydra_files: dict[str, str]
    """What Hydra would keep in .hydra: file name -> YAML."""


def compose(command: str, words: Sequence[str], config_dir: Path | None = None) -> Composed:
    """Compose conf/`command`.yaml with the overrides `words`; files in `config_dir` come beside genlab's.

    Raises GenlabError with the line that the command line prints.
    """
    from hydra import compose as compose_by_hydra
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from genlab.config.schema import plain

    overrides: list[str] = []
    try:
        overrides = arrange([expand_home(word) for word in words], command)
        if flags := [word for word in overrides if word.startswith("-")]:
            told = "; a sweep is a loop in Python" if flags[0] in ("-m", "--multirun") else ""
            raise GenlabError(
                f"{flags[0]} is a flag of the command line; Python takes overrides such as 'model=vae'{told}"
            )
        refuse_sweeps(overrides)
        with _own_hydra(), initialize_config_module("genlab.conf", version_base="1.3", job_name=command):
            if config_dir is not None:
                folder = config_dir.expanduser().absolute()
                if not folder.is_dir():
                    raise GenlabError(
                        f"config_dir={config_dir}: there is no such folder; name the one with your YAML files"
                    )
                extend(GlobalHydra.instance().config_loader().get_search_path(), [folder])
            else:
                extend(GlobalHydra.instance().config_loader().get_search_path(), [])
            full = compose_by_hydra(command, overrides, return_hydra_config=True)
            HydraConfig.instance().set_config(full)  # the name of the folder refers to it
            if _sweeps(full):
                raise GenlabError(
                    f"{' '.join(words)}: is a sweep; run it by: genlab {command} {' '.join(words)}, or train in a loop"
                )
            files = {
                "hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": full.hydra})),
                "overrides.yaml": OmegaConf.to_yaml(full.hydra.overrides.task),
            }
            typed = as_typed(full.hydra.overrides.task)
            given = [word for word in as_typed(full.hydra.overrides.hydra) if word.startswith("hydra.run.dir=")]
            where = Path(full.hydra.run.dir) if command == "train" or given else Path()
            OmegaConf.set_readonly(full, False)
            OmegaConf.set_struct(full, False)
            del full["hydra"]
            config = with_typed_length(plain(full), typed)
    except Exception as error:
        line = explain(error, command, overrides or words)
        if line is None:
            raise
        raise GenlabError(line) from None
    allow_composed(config)
    return Composed(config, where, files)


def refuse_sweeps(overrides: Sequence[str]) -> None:
    """Raises GenlabError for several values of a key, which are a sweep."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if search := [word for word in overrides if word.startswith("search=") and word != "search=null"]:
        raise GenlabError(f"{search[0]}: is a sweep; run it by: genlab train {search[0]}")
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        decimal = re.fullmatch(r"-?0,\d+", override.get_value_string()) and override.get_key_element() != "seed"
        if override.is_sweep_override() and not decimal:
            key, word = override.get_key_element(), override.input_line
            raise GenlabError(
                f"{word}: several values are a sweep; in Python, train in a loop, or write one list: {key}=[...]"
            )


def with_typed_length(config: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`config` with one length: train.epochs or train.examples of `overrides` wins over the other one in an experiment's file."""
    typed = {word.lstrip("+").partition("=")[0] for word in overrides} & {"train.epochs", "train.examples"}
    train = config.get("train")
    if len(typed) != 1 or not isinstance(train, dict):
        return config
    (other,) = {"train.epochs", "train.examples"} - typed
    return {**config, "train": {**train, other.removeprefix("train."): None}}


def _sweeps(full: Any) -> bool:
    """Whether an experiment's file is one of several runs."""
    return str(full.hydra.mode or "").endswith("MULTIRUN") or bool(full.hydra.sweeper.get("params"))


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Within the block Hydra and OmegaConf are as in a new process, with genlab's resolvers; after it as they were."""
    from hydra.core.singleton import Singleton
    from hydra.core.utils import setup_globals
    from omegaconf.basecontainer import BaseContainer

    with _one_at_a_time:
        instances, resolvers = dict(Singleton._instances), dict(BaseContainer._resolvers)
        try:
            for kind in list(Singleton._instances):
                if kind.__name__ in ("GlobalHydra", "HydraConfig", "VersionBase"):
                    del Singleton._instances[kind]
            setup_globals()
            register_interpolations()
            yield
        finally:
            Singleton._instances.clear()
            Singleton._instances.update(instances)
            BaseContainer._resolvers.clear()
            BaseContainer._resolvers.update(resolvers)
