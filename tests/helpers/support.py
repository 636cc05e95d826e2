"""What the tests of models and of the trainer share: composed configurations, small data, short runs."""

import copy
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from torch import Tensor

from genlab.composition.catalogue import names
from genlab.composition.resolvers import register
from genlab.config.schema import plain
from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.data.spec import DataSpec
from genlab.data.splits import prepare
from genlab.experiment.experiment import Experiment
from genlab.inference.partition import Annealing
from genlab.models.base import Model
from genlab.optimizers.algorithms import adam
from genlab.optimizers.recipe import Recipe
from genlab.tracking.run_folder import RunFolder
from genlab.training.devices import Device
from genlab.training.trainer import Trainer

register()

MODELS = sorted(names("model"))

CPU = Device(name="cpu", precision="fp32", compile=False, threads=1, processes=1)

BRISK: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("diffusion", "flow_matching"), ("model.network=mlp", "model.hidden=[64]")),
    "autoregressive": ("model.network=made", "model.hidden=[64]"),
    "flow": ("model.depth=2", "model.hidden=[16]"),
}
"""What makes a family fast enough to be trained several times in a test, where its own network for digits is not."""


def configure(*overrides: str, command: str = "train") -> dict[str, Any]:
    """The configuration that `genlab train` would compose, or another command that Hydra starts."""
    return copy.deepcopy(_composed(command, overrides))


@cache
def _composed(command: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    """Hydra takes a fifth of a second to compose one, and tests ask for the same ones many times."""
    GlobalHydra.instance().clear()
    with initialize_config_module("genlab.conf", version_base="1.3"):
        return plain(compose(command, list(overrides)))


def adam_recipe(lr: float = 1e-3) -> Recipe:
    create = adam(lr=lr, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
    return Recipe(create, schedule="constant", warmup=0.0, clip=None)


def dataset_of(
    x: Tensor,
    *,
    levels: int | None = None,
    binarize: str = "none",
    dequantize: bool = False,
    classes: int | None = None,
    y: Tensor | None = None,
) -> Dataset:
    raw = RawData("test", Examples(x, y), None, levels, classes)
    return prepare(raw, binarize=binarize, dequantize=dequantize, validation=0.1, test=0.2)  # type: ignore[arg-type]


def tensor(examples: Examples) -> Tensor:
    """All of them as they are stored."""
    return examples.take(torch.arange(len(examples)))


def spec_of(x: Tensor, **options: Any) -> DataSpec:
    return dataset_of(x, **options).spec


def small_data(kind: str) -> Dataset:
    """A little of every kind of data that a model can meet."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(4, 3, 12, 12, generator=generator)
    which = torch.randint(4, (400,), generator=generator)
    if kind in ("binary", "grey", "dequantized", "odd"):
        size = (9, 7) if kind == "odd" else (8, 8)
        images = prototypes[which, :1, : size[0], : size[1]]
        noisy = (images + 0.1 * torch.rand(images.shape, generator=generator)).clamp(0, 1)
        stored = (noisy * 255).byte()
        return dataset_of(
            stored,
            levels=256,
            binarize="dynamic" if kind == "binary" else "none",
            dequantize=kind == "dequantized",
            y=which,
            classes=4,
        )
    if kind == "colour":
        return dataset_of((prototypes[which] * 255).byte(), levels=256, y=which, classes=4)
    if kind == "vectors":
        centres = torch.tensor([[-2.0, 0.0, 30.0], [2.0, 1.0, 10.0], [0.0, 3.0, 0.0], [1.0, -2.0, -10.0]])
        return dataset_of(centres[which] + 0.3 * torch.randn(400, 3, generator=generator), y=which, classes=4)
    if kind == "spins":
        return dataset_of((torch.rand(400, 6, generator=generator) < 0.3).float())
    if kind in STRUCTURED:
        points = torch.arange(21) / 21
        curves = torch.sin(
            2 * torch.pi * ((1 + which[:, None, None] % 3) * points + torch.rand(400, 3, 1, generator=generator))
        )
        kinds = {
            "curves": curves[:, :1],
            "channels": curves[..., :7],
            "bands": 2.5 * torch.rand(400, 5, 9, 8, generator=generator),
        }
        return dataset_of(kinds[kind], y=which, classes=4)
    raise ValueError(kind)


STRUCTURED = ("curves", "channels", "bands")
KINDS = ("binary", "grey", "dequantized", "odd", "colour", "vectors", "spins", *STRUCTURED)


FEW_CHAINS = Annealing(chains=10, temperatures=30, schedule="even", sweeps=5)


def experiment_of(config: dict[str, Any], dataset: Dataset | None = None, model: Model | None = None) -> Experiment:
    """The experiment of `config`, with another data set or another model than it describes."""
    experiment = Experiment(config)
    if dataset is not None:
        experiment.dataset = dataset
    if model is not None:
        experiment.model = model
    return experiment


def make_dataset(config: dict[str, Any]) -> Dataset:
    """The data of `config`, on the CPU."""
    return Experiment(config, CPU).dataset


def make_model(config: dict[str, Any], data: DataSpec) -> Model:
    """The untrained model of `config` for data of this specification, on the CPU."""
    return Experiment(config, CPU).untrained(data)


def make_recipe(config: dict[str, Any]) -> Recipe:
    """How the model of `config` makes its optimizers."""
    return Experiment(config, CPU).recipe


def start(run: Path, config: dict[str, Any], dataset: Dataset | None = None) -> Trainer:
    """A trainer ready to fit in the folder `run`, as `genlab train` and `genlab resume` make it."""
    experiment = experiment_of(config, dataset)
    model = experiment.model
    folder = RunFolder(run)
    if not (run / "run.json").exists():
        folder.create(config)
    torch.manual_seed(config["seed"])
    data, examples = experiment.dataset, experiment.examples
    return Trainer(model, data, experiment.train, experiment.device, folder, experiment.config, examples)


def records(run: Path, without: Sequence[str] = ("seconds", "throughput/images_per_second")) -> list[dict[str, float]]:
    """Lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in without} for line in lines]


def state_of(model: Model) -> dict[str, Tensor]:
    state = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    for name, optimizer in model.optimizers.items():
        for i, slot in optimizer.state_dict()["state"].items():
            state |= {f"{name}.{i}.{key}": torch.as_tensor(value).clone() for key, value in slot.items()}
    return state
