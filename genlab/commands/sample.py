"""genlab sample run=RUN: samples of a trained model and more, as pictures and as arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import hydra
import yaml
from omegaconf import DictConfig
from pydantic import Field

from genlab.commands.job import run_job
from genlab.config.types import Seed
from genlab.errors import GenlabError


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="sample")
def main(config: DictConfig) -> float | None:
    return run_job(sample, config)


def keys(
    *,
    run: str | int,
    n: Annotated[int, Field(gt=0, le=10_000_000)],
    seed: Seed,
    checkpoint: Literal["auto", "last", "best"],
    dataset: dict[str, Any],
    device: dict[str, Any],
) -> None:
    """The schema of conf/sample.yaml; that of conf/sampling.yaml is the family's sample_loop."""


def sample(config: dict[str, Any], folder: Path) -> None:
    """Write pictures (samples.png, interpolation.png, ...) and arrays (samples.npz) of a trained run into `folder`."""
    options = options_beside(keys, config)
    import numpy as np

    from genlab.config.schema import check
    from genlab.data.places import places
    from genlab.experiment.opening import open_run
    from genlab.inference.chain_pictures import animation
    from genlab.inference.portfolio import portfolio
    from genlab.inference.sampling import check_options
    from genlab.plots.captions import write_captions
    from genlab.plots.images import save_animation, save_png
    from genlab.tracking.console import console
    from genlab.tracking.which_run import find_run
    from genlab.training.devices import Device

    (where,) = check(config["dataset"], "dataset", places)
    device = Device.of(config["device"])
    device.prepare()
    run = find_run(str(config["run"]))
    opened = open_run(run, device, config["checkpoint"], where)
    config["checkpoint"] = opened.which
    model = opened.model
    options = check_options(model, options)
    try:
        dataset = opened.fitting(opened.experiment.dataset)
    except GenlabError as error:
        if any(where.values()):
            raise
        dataset = None
        console.print(f"without test data: {error}", markup=False)
    with device.autocast():
        pictures, arrays = portfolio(model, dataset, config["n"], config["seed"], **options)
        moving = animation(model, config["seed"], **options)
    (folder / "sample.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for name, picture in pictures.items():
        save_png(folder / f"{name}.png", picture)
    write_captions(folder)
    if moving:
        save_animation(folder / "chain.gif", moving)
    np.savez_compressed(folder / "samples.npz", **arrays)  # type: ignore[arg-type]
    shapes = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in arrays.items())
    lines = [f"{type(model).__name__} of {run.path}, {config['checkpoint']} checkpoint, seed {config['seed']}:"]
    lines += [f"  {folder / name}.png" for name in pictures] + ([f"  {folder / 'chain.gif'}"] if moving else [])
    console.print("\n".join([*lines, f"  {folder / 'samples.npz'}   {shapes}"]), markup=False)


def options_beside(keys: Callable[..., None], config: dict[str, Any]) -> dict[str, Any]:
    """Checks the `keys` of a command in `config`; all other keys that are set are options of sampling, which a family checks.

    Raises GenlabError for a value that is not allowed.
    """
    from genlab.config.schema import check, keys_of

    own = {key: config[key] for key in config if key in keys_of(keys)}
    config.update(check(own, "", keys)[0])
    return {key: value for key, value in config.items() if key not in own and value is not None}
