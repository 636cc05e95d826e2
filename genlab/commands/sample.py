"""genlab sample run=RUN: what a trained model makes, as pictures and as arrays."""

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import hydra
import yaml
from omegaconf import DictConfig
from pydantic import Field

from genlab.commands.job import run_job
from genlab.config.types import Count, NonNegative, Positive
from genlab.errors import GenlabError

SAMPLING = ("sampler", "steps", "labels", "truncation", "guidance", "eta")
"""Keys that are handed on to a family's sample_loop, if it has such an argument."""


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="sample")
def main(config: DictConfig) -> float | None:
    return run_job(sample, config)


def keys(
    *,
    run: str | int,
    n: Annotated[int, Field(gt=0, le=10_000_000)],
    seed: Annotated[int, Field(ge=0)],
    checkpoint: Literal["last", "best"],
    sampler: str | None,
    steps: Count | None,
    labels: list[Annotated[int, Field(ge=0)]] | int | None,
    truncation: Positive | None,
    guidance: NonNegative | None,
    eta: Annotated[float, Field(ge=0, le=1)] | None,
    device: dict[str, Any],
) -> None:
    """The schema of conf/sample.yaml."""


def sample(config: dict[str, Any], folder: Path) -> None:
    """Write pictures (samples.png, interpolation.png, ...) and arrays (samples.npz) of a trained run into `folder`."""
    from genlab.config.schema import check

    check(config, "", keys)
    import numpy as np

    from genlab.experiment.opening import open_run
    from genlab.inference.chain_pictures import animation
    from genlab.inference.portfolio import portfolio
    from genlab.plots.images import save_animation, save_png
    from genlab.tracking.console import console
    from genlab.tracking.run_folder import find_run
    from genlab.training.devices import Device

    device = Device.of(config["device"])
    device.prepare()
    run = find_run(str(config["run"]))
    opened = open_run(run, device, config["checkpoint"])
    model = opened.model
    options = {key: config[key] for key in SAMPLING if config[key] is not None}
    refuse_options(model, options)
    try:
        dataset = opened.experiment.dataset
    except GenlabError as error:
        dataset = None
        console.print(f"without test data: {error}", markup=False)
    with device.autocast():
        pictures, arrays = portfolio(model, dataset, config["n"], config["seed"], **options)
        moving = animation(model, config["seed"], **options)
    (folder / "sample.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for name, picture in pictures.items():
        save_png(folder / f"{name}.png", picture)
    if moving:
        save_animation(folder / "chain.gif", moving)
    np.savez_compressed(folder / "samples.npz", **arrays)  # type: ignore[arg-type]
    console.print(f"{type(model).__name__} of {run.path}, {config['checkpoint']} checkpoint, seed {config['seed']}:")
    for name in pictures:
        console.print(f"  {folder / name}.png")
    if moving:
        console.print(f"  {folder / 'chain.gif'}")
    shapes = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in arrays.items())
    console.print(f"  {folder / 'samples.npz'}   {shapes}")


def refuse_options(model: Any, options: dict[str, Any]) -> None:
    """Options of sampling are the arguments of a family's sample_loop; raises GenlabError for any other."""
    from genlab.config.schema import family_of

    family = family_of(type(model).__name__)
    taken = inspect.signature(model.sample_loop).parameters if hasattr(model, "sample_loop") else {}
    for key, value in options.items():
        if key not in taken:
            raise GenlabError(f"{key}={value}: model={family} has no such choice; leave {key} out")
    if options:
        first_state(model, options)


def first_state(model: Any, options: dict[str, Any]) -> None:
    """A family says at the first state of a chain what it cannot do: better there than after minutes of other work."""
    import torch

    from genlab.inference.sampling import in_turns
    from genlab.numerics.rng import seeded

    with torch.no_grad(), seeded(0, "first state", device=model.device):
        next(model.sample_loop(1, **options | in_turns(model, 0, options.get("labels"))))
