"""Where `_target_` of a configuration is found: what may be built, and the names under which older runs know it."""

import importlib
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any

from genlab.errors import GenlabError

ALLOWED_TARGETS = ("genlab.", "torch.nn.", "torch.optim.")

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

MOVED_PARAMETERS: dict[str, dict[str, str]] = {
    "AE": {**_SCALING, "codes.": "code_density."},
    "Classifier": {"mean": "scaling.shift", "scale": "scaling.scale"},
    "Diffusion": {"averaged.": "ema.", "units.": "scaling."},
    "EBM": {"averaged.": "ema.", "units.": "scaling.", "replay.": "replay_buffer."},
    "FlowMatching": {"averaged.": "ema.", "units.": "scaling.", "taught": "teacher_set"},
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


def locate(target: object, key: str) -> Callable[..., Any]:
    """The class or function that `_target_` names, if it is one of ours, torch.nn's or torch.optim's."""
    if not isinstance(target, str) or not target.startswith(ALLOWED_TARGETS):
        allowed = ", ".join(prefix + "*" for prefix in ALLOWED_TARGETS)
        raise GenlabError(f"{key}._target_={target}: only {allowed} can be built")
    module, _, name = MOVED_TARGETS.get(target, target).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise GenlabError(f"{key}._target_={target}: there is no such class or function") from None
    if not callable(found):
        raise GenlabError(f"{key}._target_={target} is not a class or function")
    return typing.cast(Callable[..., Any], found)
