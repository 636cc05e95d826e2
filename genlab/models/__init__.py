"""The families, by their names in conf/model (`genlab.models.VAE`). A family is imported when it is first used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genlab.models.adversarial.gan import GAN
    from genlab.models.adversarial.sgan import SGAN
    from genlab.models.adversarial.wgan import WGAN
    from genlab.models.autoregressive.autoregressive import Autoregressive
    from genlab.models.boltzmann.gaussian_rbm import GaussianRBM
    from genlab.models.boltzmann.rbm import RBM
    from genlab.models.diffusion.diffusion import Diffusion
    from genlab.models.diffusion.flow_matching import FlowMatching
    from genlab.models.discriminative.classifier import Classifier
    from genlab.models.energy.ebm import EBM
    from genlab.models.flows.flow import Flow
    from genlab.models.latent.ae import AE
    from genlab.models.latent.hvae import HVAE
    from genlab.models.latent.pca import PCA
    from genlab.models.latent.vae import VAE
    from genlab.models.latent.vqvae import VQVAE

FAMILIES = {
    "AE": "latent.ae",
    "Autoregressive": "autoregressive.autoregressive",
    "Classifier": "discriminative.classifier",
    "Diffusion": "diffusion.diffusion",
    "EBM": "energy.ebm",
    "Flow": "flows.flow",
    "FlowMatching": "diffusion.flow_matching",
    "GAN": "adversarial.gan",
    "GaussianRBM": "boltzmann.gaussian_rbm",
    "HVAE": "latent.hvae",
    "PCA": "latent.pca",
    "RBM": "boltzmann.rbm",
    "SGAN": "adversarial.sgan",
    "VAE": "latent.vae",
    "VQVAE": "latent.vqvae",
    "WGAN": "adversarial.wgan",
}
"""Name of a family -> its file below genlab/models."""

__all__ = [
    "AE",
    "EBM",
    "GAN",
    "HVAE",
    "PCA",
    "RBM",
    "SGAN",
    "VAE",
    "VQVAE",
    "WGAN",
    "Autoregressive",
    "Classifier",
    "Diffusion",
    "Flow",
    "FlowMatching",
    "GaussianRBM",
]


def __getattr__(name: str) -> Any:
    if name not in FAMILIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{FAMILIES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
