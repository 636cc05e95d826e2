"""What can be tested on an NVIDIA GPU only: run by make test-gpu on a machine that has one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from genlab.data.batches import Batches
from genlab.experiment.experiment import Experiment
from genlab.models.base import GenerativeModel, Metrics, Model
from genlab.optimizers.recipe import set_rate
from genlab.training.cuda_graphs import can_replay, updates_of
from tests.helpers.processes import environment, succeed
from tests.helpers.support import MODELS, configure
from tests.models.test_contract import build_class

pytestmark = pytest.mark.gpu

TEMPERED = "model=rbm model.negative=tempered"
VARIANTS = [
    *(f"model={name}" for name in MODELS),
    "model=ae model.noise=0.3",
    "model=vae model.kl_warmup=0.5 optimizer.schedule=cosine",
    "model=vae model.k=5",
    "model=gan model.instance_noise=0.5 model.critic_steps=2",
    "model=wgan dataset=toy2d",
    "model=ebm dataset=toy2d",
    "model=diffusion dataset=toy2d optimizer.clip=1",
    "model=diffusion model.conditional=true model.objective=min_snr",
    "model=diffusion model.objective=elbo model.schedule=learned model.steps=null",
    "model=vqvae optimizer=momentum",
    *(f"model=classifier optimizer={name}" for name in ("sgd", "nesterov", "rmsprop", "adagrad", "adamw")),
    "model=classifier optimizer=rmsprop optimizer.momentum=0.9 optimizer.weight_decay=0.01",
    "model=rbm model.negative=pcd model.k=2 optimizer=adam",
    "model=rbm model.conditional=true optimizer=sgd optimizer.weight_decay=0.001 optimizer.schedule=linear",
    "model=rbm model.average=0 model.sparsity=0.1 optimizer=momentum",
    "model=gaussian_rbm model.learn_sigma=true",
    TEMPERED,
    "model=classifier model.network=rnn",
    "model=ebm model.objective=denoising",
    "model=ebm dataset.binarize=dynamic",
    "model=vae model.capacity=5 model.beta=10 model.kl_warmup=0.3",
    "model=gan model.network=conv model.r1=1",
    "model=diffusion model.network=transformer",
    "model=autoregressive model.network=made model.masks=3",
    "model=autoregressive model.network=transformer dataset.binarize=none",
    "model=flow dataset=toy2d",
    "model=flow dataset=toy2d model.layers=autoregressive",
    "model=flow model.dequantisation=variational model.conditional=true",
]


def trained(words: str, updates: int, **keys: Any) -> tuple[Model, list[Metrics], bool]:
    config = configure(*words.split(), *(f"device.{key}={value}" for key, value in keys.items()))
    experiment = Experiment(config)
    experiment.build()
    model, dataset, device = experiment.model, experiment.dataset, experiment.device
    device.place(model)
    model.train()
    size = experiment.train.batch_size
    batches = Batches(
        dataset.train,
        dataset.represent,
        batch_size=size,
        examples=updates * size,
        seed=0,
        device=device.resolve(),
        labelled_beside=model.labelled_beside,
    )
    torch.manual_seed(1)
    replays = can_replay(model, batches, device)
    found: list[Metrics] = []
    loop: Iterator[Metrics] = updates_of(model, batches, device)
    while True:
        for optimizer in model.optimizers.values():
            set_rate(optimizer, batches.progress)
        metrics = next(loop, None)
        if metrics is None:
            return model, found, replays
        found.append(metrics)


@pytest.mark.parametrize("words", VARIANTS)
def test_replayed_updates_are_those_of_the_loop(words: str) -> None:
    """The first ones to the last digits; later the rounding of sums in another order grows in every descent."""
    _, of_loop, _ = trained(words, 20, replay="false")
    model, found, replays = trained(words, 20)
    after = torch.rand(4, device=model.device)
    assert replays == (words not in ("model=pca", TEMPERED))
    assert len(found) == len(of_loop)
    for one, other in zip(found[:8], of_loop[:8], strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            torch.testing.assert_close(
                value, other[name].float(), rtol=2e-3, atol=1e-4, msg=f"{name}: {value} {other[name]}"
            )
    trained(words, 20, replay="false")
    assert torch.equal(after, torch.rand(4, device=model.device)), "the stream of draws goes on in the same place"


@pytest.mark.parametrize("name", MODELS)
def test_every_family_can_do_everything_on_a_gpu_and_go_on_without(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train = ["train", f"model={name}", "train.examples=2000", f"hydra.run.dir={run}"]
    trained = succeed(train, tmp_path)
    assert "on cuda" in trained.out
    succeed(["evaluate", f"run={run}", "n=200"], tmp_path)
    if issubclass(build_class(name), GenerativeModel):
        for env in (environment(), environment(CUDA_VISIBLE_DEVICES="")):
            succeed(
                ["sample", f"run={run}", f"hydra.run.dir={tmp_path / env.get('CUDA_VISIBLE_DEVICES', 'gpu')}x"],
                tmp_path,
                env=env,
            )
