"""Interpolations that the files in conf/ use: readable names for folders, values that suit the data set."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from genlab.composition.words import as_typed

LONGEST = 40  # characters: beside the date, a folder still fits a line of a terminal


def slug(overrides: Iterable[str], *leave_out: str) -> str:
    """'_latent_dim-2_seed-1' from the overrides of a run, without the groups in the name of the folder above.

    The name that a run was given comes first.
    """
    parts: list[str] = []
    for override in as_typed(overrides):
        key, _, value = override.lstrip("+~").partition("=")
        if key == "name":
            parts.insert(0, value)
        elif key not in (*leave_out, "tag", "note", "tracker"):
            parts.append(f"{key.rpartition('.')[2]}-{value.strip('[]')}" if value else key)
    text = re.sub(r"[^\w.-]+", "-", "_".join(parts)).strip("-")  # no '=' or ',': the name must do as a value of run=...
    if len(text) > LONGEST:
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        text = f"{text[: LONGEST - 7]}-{digest}"
    return f"_{text}" if text else ""


def run_name(run: object) -> str:
    """'vae-mnist' for a run folder. Raises GenlabError where there is no such run."""
    from genlab.experiment.opening import read_config
    from genlab.tracking.which_run import find_run

    config = read_config(find_run("null" if run is None else str(run)))
    sections = [config.get(name) for name in ("model", "dataset")]
    targets = [section.get("_target_") if isinstance(section, dict) else None for section in sections]
    model, dataset = (re.sub(r"\W", "-", str(target).rpartition(".")[2])[:LONGEST] for target in targets)
    return f"{model.lower()}-{dataset}"


GREY = ("mnist", "fashion_mnist", "kmnist", "emnist")
LARGE = (*GREY, "cifar10", "svhn", "image_folder")
KINDS = {"grey_pictures": GREY, "large_pictures": LARGE, "pictures": ("digits", *LARGE)}
"""Kind -> data sets: MNIST and its relatives; all whose pictures have 28 pixels a side or more; and the digits, too."""


def on_dataset(name: str, value: object, otherwise: object, *, _root_: DictConfig) -> object:
    """`value` where the data set is `name`, else `otherwise`: ${on:digits,20000,600000} is shorter on small data.

    A name of KINDS stands for several data sets.
    """
    target = str(OmegaConf.select(_root_, "dataset._target_") or "").rpartition(".")[2]
    return value if target in KINDS.get(name, (name,)) else otherwise


def gpus_here() -> int:
    """1 where this machine has an NVIDIA GPU, else 0; nothing is imported to find out."""
    return int(any(Path("/dev").glob("nvidia[0-9]*")))


def register() -> None:
    """Let Hydra know the interpolations, and where configurations lie beside genlab's own."""
    from genlab.composition.search_path import offer_packages

    offer_packages()
    register_interpolations()


def register_interpolations() -> None:
    OmegaConf.register_new_resolver("on", on_dataset, replace=True)
    OmegaConf.register_new_resolver("slug", slug, replace=True)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("gpus_here", gpus_here, replace=True)
