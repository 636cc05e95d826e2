"""Samples of a trained run: the run is opened, what was asked for is checked, and samples are drawn, shown and written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy.typing as npt
import yaml
from pydantic import Field

from genlab.config.schema import check, keys_of
from genlab.config.types import Seed
from genlab.data.dataset import Dataset
from genlab.data.places import places
from genlab.errors import GenlabError
from genlab.experiment.opening import TrainedRun, open_run
from genlab.inference.chain_pictures import animation
from genlab.inference.portfolio import portfolio
from genlab.inference.samples import Samples
from genlab.inference.sampling import check_options, draw, sampling_options
from genlab.inference.saved_samples import save_arrays
from genlab.models.base import GenerativeModel
from genlab.plots.captions import write_captions
from genlab.plots.images import Picture, save_animation, save_png
from genlab.tracking.console import console
from genlab.tracking.which_run import find_run
from genlab.training.devices import Device


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


@dataclass(frozen=True)
class Sampling:
    """What `genlab sample` was asked for, checked, of an opened run."""

    config: dict[str, Any]
    device: Device
    opened: TrainedRun
    options: dict[str, Any]
    """Arguments of the family's sample_loop."""
    places: dict[str, Any]

    @cached_property
    def dataset(self) -> Dataset | None:
        """The data of the run; None, and a line, where they are not at hand. Raises GenlabError where a named place has none."""
        try:
            return self.opened.fitting(self.opened.experiment.dataset)
        except GenlabError as error:
            if any(self.places.values()):
                raise
            console.print(f"without test data: {error}", markup=False)
            return None

    def draw(self) -> Samples:
        """The n samples alone, the same that `portfolio` shows. Raises GenlabError where the family generates nothing."""
        model = self.opened.model
        if not isinstance(model, GenerativeModel):
            raise GenlabError(
                f"run={self.opened.run.path}: a {type(model).__name__.lower()} draws no samples; evaluate it"
            )
        options = self.options if self.dataset is None else sampling_options(model, self.dataset, self.options)
        with self.device.autocast():
            return draw(model, self.config["n"], self.config["seed"], **options)

    def portfolio(self) -> tuple[dict[str, Picture], dict[str, npt.NDArray[Any]]]:
        """All pictures by name, and arrays of the same names."""
        with self.device.autocast():
            return portfolio(self.opened.model, self.dataset, self.config["n"], self.config["seed"], **self.options)


def prepare_sampling(config: dict[str, Any]) -> Sampling:
    """Open the run of conf/sample.yaml's keys. Raises GenlabError for a value that is not allowed."""
    options = options_beside(keys, config)
    (where,) = check(config["dataset"], "dataset", places)
    device = Device.of(config["device"])
    device.prepare()
    opened = open_run(find_run(str(config["run"])), device, config["checkpoint"], where)
    config["checkpoint"] = opened.which
    return Sampling(config, device, opened, check_options(opened.model, options), where)


def sample_run(config: dict[str, Any], folder: Path) -> None:
    """Write pictures (samples.png, interpolation.png, ...) and arrays (samples.npz) of a trained run into `folder`."""
    asked = prepare_sampling(config)
    model = asked.opened.model
    pictures, arrays = asked.portfolio()
    with asked.device.autocast():
        moving = animation(model, config["seed"], **asked.options)
    (folder / "sample.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for name, picture in pictures.items():
        save_png(folder / f"{name}.png", picture)
    write_captions(folder)
    if moving:
        save_animation(folder / "chain.gif", moving)
    _, *tables = save_arrays(folder, arrays, model.data)
    shapes = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in arrays.items())
    lines = [
        f"{type(model).__name__} of {asked.opened.run.path}, {config['checkpoint']} checkpoint, seed {config['seed']}:"
    ]
    lines += [f"  {folder / name}.png" for name in pictures] + ([f"  {folder / 'chain.gif'}"] if moving else [])
    lines += [f"  {table}" for table in tables]
    console.print("\n".join([*lines, f"  {folder / 'samples.npz'}   {shapes}"]), markup=False)


def options_beside(keys: Callable[..., None], config: dict[str, Any]) -> dict[str, Any]:
    """Checks the `keys` of a command in `config`; all other keys that are set are options of sampling, which a family checks.

    Raises GenlabError for a value that is not allowed.
    """
    own = {key: config[key] for key in config if key in keys_of(keys)}
    config.update(check(own, "", keys)[0])
    return {key: value for key, value in config.items() if key not in own and value is not None}
