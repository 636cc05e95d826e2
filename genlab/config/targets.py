"""Where `_target_` of a configuration is found: what may be built, and the names under which older runs know it.

A configuration can lie in a run folder, and a run folder can come from anyone. So what a section builds is found by its whole
name before anything is imported: one of those that genlab's own files conf/SECTION/*.yaml name, or those of an installed package
(packages.py), or one that the user allowed, by naming it in a configuration of their own, on the command line, or in the
environment variable GENLAB_ALLOW.
"""

import importlib
import inspect
import logging
import os
import re
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from genlab.config.packages import TARGET, own_files, targets_of_packages
from genlab.errors import GenlabError

SECTIONS = ("model", "dataset", "optimizer")
"""Sections of a configuration that build something by `_target_`."""

ALLOW = "GENLAB_ALLOW"
"""Import paths of the user's own code, separated by commas. The environment is what launchers hand on to their jobs."""

log = logging.getLogger(__name__)

_SOURCES = ("array", "cifar10", "digits", "gaussian", "image_folder", "ising", "svhn", "toy2d")

MOVED_TARGETS: dict[str, str] = {
    "genlab.models.ae.AE": "genlab.models.AE",
    "genlab.models.classifier.Classifier": "genlab.models.Classifier",
    "genlab.models.diffusion.Diffusion": "genlab.models.Diffusion",
    "genlab.models.ebm.EBM": "genlab.models.EBM",
    "genlab.models.flow_matching.FlowMatching": "genlab.models.FlowMatching",
    "genlab.models.gan.GAN": "genlab.models.GAN",
    "genlab.models.gaussian_rbm.GaussianRBM": "genlab.models.GaussianRBM",
    "genlab.models.hvae.HVAE": "genlab.models.HVAE",
    "genlab.models.pca.PCA": "genlab.models.PCA",
    "genlab.models.rbm.RBM": "genlab.models.RBM",
    "genlab.models.sgan.SGAN": "genlab.models.SGAN",
    "genlab.models.vae.VAE": "genlab.models.VAE",
    "genlab.models.vqvae.VQVAE": "genlab.models.VQVAE",
    "genlab.models.wgan.WGAN": "genlab.models.WGAN",
    **{f"genlab.data.{name}.{name}": f"genlab.data.sources.{name}.{name}" for name in _SOURCES},
    **{
        f"genlab.data.mnist.{name}": f"genlab.data.sources.mnist.{name}"
        for name in ("mnist", "fashion_mnist", "kmnist", "emnist")
    },
}
"""Target in the configuration of an older run -> where it is now."""


_SCALING = {"shift": "scaling.shift", "scale": "scaling.scale"}
_OBSERVED = {
    **_SCALING,
    "observation.shift": "observation.scaling.shift",
    "observation.scale": "observation.scaling.scale",
}

_DENOISER = {
    "averaged.network.place": "ema.network.position_embedding",
    "teacher.network.place": "teacher.network.position_embedding",
    "network.place": "network.position_embedding",
    "averaged.": "ema.",
    "units.": "scaling.",
}

MOVED_PARAMETERS: dict[str, dict[str, str]] = {
    "AE": {**_SCALING, "codes.": "code_density."},
    "Classifier": {"mean": "scaling.shift", "scale": "scaling.scale"},
    "Diffusion": _DENOISER,
    "EBM": {"averaged.": "ema.", "units.": "scaling.", "replay.": "replay_buffer."},
    "FlowMatching": {**_DENOISER, "taught": "teacher_set"},
    "GaussianRBM": _SCALING,
    "GAN": {"averaged.": "ema.", "units.": "scaling."},
    "HVAE": _OBSERVED,
    "SGAN": {"averaged.": "ema.", "units.": "scaling.", "started": "initialised"},
    "VAE": _OBSERVED,
    "VQVAE": {**_OBSERVED, "prior.place": "prior.position_embedding"},
    "WGAN": {"averaged.": "ema.", "units.": "scaling."},
}
"""Class of a model -> beginnings of the names that parameters and buffers have in older checkpoints, and what they are now."""

_CLASS_EMBEDDING = re.compile(r"\bembedding\.told\.")


def moved_parameters(family: str, names: Iterable[str]) -> dict[str, str]:
    """Old name -> new name of those of `names` that have moved since an older checkpoint of the class `family` was written."""
    found = {}
    for old in names:
        new = _CLASS_EMBEDDING.sub("embedding.class_embedding.", old)
        for before, after in MOVED_PARAMETERS.get(family, {}).items():
            if new.startswith(before):
                new = after + new.removeprefix(before)
                break
        if new != old:
            found[old] = new
    return found


@cache
def targets_of_genlab(section: str) -> frozenset[str]:
    """What genlab itself builds from a section: the targets of the files in conf/SECTION."""
    if section not in SECTIONS:
        return frozenset()
    return frozenset(found for _, file in own_files(section) for found in TARGET.findall(file.read_text()))


def allow(*targets: str) -> None:
    """Let `targets`, import paths of the user's own code, be built by this process and those that it starts."""
    os.environ[ALLOW] = ",".join(dict.fromkeys([*allowed_targets(), *targets]))


def allowed_targets() -> list[str]:
    """What the user has allowed."""
    return [target for target in os.environ.get(ALLOW, "").split(",") if target]


def words_that_allow(config: Mapping[str, Any]) -> list[str]:
    """`allow=mine.Mine` for what `config` builds of the user's own: what a command about its run has to be told."""
    targets = [(section, config[section].get("_target_")) for section in SECTIONS]
    own = [name for section, name in targets if not is_installed(MOVED_TARGETS.get(name, name), section)]
    return [f"allow={','.join(own)}"] if own else []


def packages_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Name -> version of the installed packages that bring what `config` builds; genlab itself is none of them."""
    named = [(section, (config.get(section) or {}).get("_target_")) for section in SECTIONS]
    found = [targets_of_packages(section).get(name) for section, name in named if isinstance(name, str)]
    return {package.name: package.version for package in found if package is not None}


def is_installed(target: str, section: str) -> bool:
    """Whether a section may build `target` without a word of the user: it is genlab's, or an installed package's."""
    return target in targets_of_genlab(section) or target in targets_of_packages(section)


def locate(target: object, key: str) -> Callable[..., Any]:
    """The class or function that `_target_` of the section `key` names (`model`, or deeper, as `model.trunk.model`).

    Raises GenlabError, before anything is imported, where it is neither genlab's own nor allowed.
    """
    section = key.rpartition(".")[2]
    if not isinstance(target, str):
        example = min(targets_of_genlab(section), default="its import path")
        raise GenlabError(f"{key}._target_={target} is no {section} of genlab: write one name, such as {example}")
    name = MOVED_TARGETS.get(target, target)
    package = targets_of_packages(section).get(name)
    own = name in targets_of_genlab(section)
    if not own and package is None and name not in allowed_targets():
        remedy = (
            f"if it is code of your own, add allow={target}, or install its package"
            if _may_be_own(target)
            else "do not open this run"
        )
        raise GenlabError(
            f"{key}._target_={target} is no {section} of genlab, and a run folder can have nothing else imported; {remedy}"
        )
    found = _import(name, key, beside=not own and package is None)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise GenlabError(f"{key}._target_={target} is not a class or function")
    if package is not None and not own:
        _say_once(f"{key}._target_={name} is of the installed package {package}")
    elif not own:
        _say_once(
            f"{key}._target_={name} is code of your own: {getattr(sys.modules.get(found.__module__), '__file__', '')}"
        )
    return typing.cast(Callable[..., Any], found)


def _may_be_own(target: str) -> bool:
    """Whether it is the import path of something that a user may have written."""
    parts = target.split(".")
    foreign = {"genlab", "torch", *sys.stdlib_module_names}
    return len(parts) > 1 and all(part.isidentifier() for part in parts) and parts[0] not in foreign


def _import(name: str, key: str, beside: bool) -> object:
    """What the dotted `name` stands for; `beside`: modules of the working folder count too, after all others."""
    if "." not in name or not all(part.isidentifier() for part in name.split(".")):
        raise GenlabError(f"{key}._target_={name} is no import path: write one, such as package.module.Name")
    module, _, attribute = name.rpartition(".")
    if beside and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), attribute)
    except SyntaxError as error:
        raise GenlabError(
            f"{key}._target_={name}: {error.filename}, line {error.lineno}: {error.msg}; mend it"
        ) from None
    except (ImportError, AttributeError, ValueError) as error:
        reason = "" if getattr(error, "name", module) in (module, attribute) else f" ({error})"
        remedy = f"; name the folder of {module} by PYTHONPATH, or one beside it by --config-dir" if beside else ""
        raise GenlabError(f"{key}._target_={name}: there is no such class or function{reason}{remedy}") from None


@cache
def _say_once(line: str) -> None:
    log.info("%s", line)
