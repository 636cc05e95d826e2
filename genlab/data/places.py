"""Where the data of a run lie: the keys of the dataset section that may change after the training, as nothing else may."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError

PLACES = ("path", "root", "labels")
"""Keys of the dataset section that name a file or a folder."""

SESSION = ("processes", "shard", "timeout")
"""Keys of the device section that hold for one session of a training."""


def places(*, path: str | None, root: str | None, labels: str | None) -> None:
    """The schema of the dataset section of a command that takes a trained run."""


def absolute(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset section with paths that hold from any folder. Labels may be an array of `path`, and then have none."""
    found = dict(dataset)
    for key in PLACES:
        if isinstance(found.get(key), str) and (key != "labels" or Path(found[key]).expanduser().exists()):
            found[key] = str(Path(found[key]).expanduser().absolute())
    return found


def moved(dataset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset section of a run with the places that are `given` (null: as before).

    Raises GenlabError for one that the data of the run do not have.
    """
    new = {key: value for key, value in given.items() if value is not None}
    for key, value in new.items():
        if key not in dataset:
            name = str(dataset.get("_target_", "")).rpartition(".")[2]
            own = [f"dataset.{place}" for place in PLACES if place in dataset]
            remedy = f"set {' or '.join(own)}" if own else "leave it out"
            raise GenlabError(
                f"dataset.{key}={value}: the run was trained on dataset={name}, which has no such key; {remedy}"
            )
    return absolute({**dataset, **new}) if new else dict(dataset)


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the places of its data, and without the processes that share the training."""
    dataset = {key: value for key, value in config["dataset"].items() if key not in PLACES}
    device = {key: value for key, value in config["device"].items() if key not in SESSION}
    return {**config, "dataset": dataset, "device": device}


def foreign_root_of(dataset: object, given: Mapping[str, Any]) -> str | None:
    """dataset.root of a run, where neither the user's environment nor the places that are `given` name it too."""
    root = dataset.get("root") if isinstance(dataset, Mapping) else None
    own = absolute({"root": os.environ.get("GENLAB_DATA")})["root"]
    return None if root == own or given.get("root") is not None else root
