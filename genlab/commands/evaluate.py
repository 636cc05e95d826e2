"""genlab evaluate run=RUN: held-out measures with their errors, diagnoses and pictures."""

from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import hydra
from omegaconf import DictConfig
from pydantic import Field

from genlab.commands.job import discard_if_empty, in_sweep, run_job
from genlab.commands.sample import SAMPLING, refuse_options
from genlab.config.types import Count, NonNegative, Positive
from genlab.errors import GenlabError


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="evaluate")
def main(config: DictConfig) -> float | None:
    return run_job(evaluate_run, config)


def keys(
    *,
    run: str | int,
    n: Annotated[int, Field(ge=20, le=1_000_000)] | None,
    seed: Annotated[int, Field(ge=0)],
    k: Count,
    ais: dict[str, Any],
    checkpoint: Literal["last", "best"],
    samples: str | None,
    latent: Literal["pca", "tsne", "umap"],
    anomaly: str | None,
    noise: NonNegative | None,
    sampler: str | None,
    steps: Count | None,
    labels: list[Annotated[int, Field(ge=0)]] | int | None,
    truncation: Positive | None,
    guidance: NonNegative | None,
    eta: Annotated[float, Field(ge=0, le=1)] | None,
    efforts: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] | None,
    device: dict[str, Any],
) -> None:
    """The schema of conf/evaluate.yaml."""


def evaluate_run(config: dict[str, Any], folder: Path) -> None:
    """Measure a run; writes metrics.json and evaluation/ in its folder (in `folder`, where samples from elsewhere are judged)."""
    from genlab.config.schema import check, family_of

    check(config, "", keys)
    from genlab.inference.partition import Annealing

    (ais,) = check(config["ais"], "ais", Annealing)
    if config["samples"] is not None and config["anomaly"] is not None:
        raise GenlabError(
            f"anomaly={config['anomaly']} judges the model and samples={config['samples']} need none; set one of the two"
        )
    if config["latent"] == "umap":
        require_umap()
    from genlab.evaluation.denoising import noise_of
    from genlab.evaluation.findings import Settings, evaluate
    from genlab.evaluation.output import show, write
    from genlab.experiment.opening import open_run
    from genlab.tracking.console import ShareReport, console
    from genlab.tracking.run_folder import RunFolder, find_run
    from genlab.training.devices import Device

    device = Device.of(config["device"])
    device.prepare()
    run = find_run(str(config["run"]))
    opened = open_run(run, device, config["checkpoint"])
    model = opened.model
    options = {key: config[key] for key in SAMPLING if config[key] is not None}
    refuse_options(model, options)
    refuse_efforts(model, config["efforts"], config["samples"])
    given = None if config["samples"] is None else read_samples(Path(config["samples"]).expanduser(), model.data)
    root = opened.experiment.config["dataset"].get("root")
    dataset = opened.whole_dataset()  # the measures compare with all of the data, labelled or not
    console.print(
        f"{type(model).__name__} of {run.path}, {config['checkpoint']} checkpoint: {len(dataset.test):,} test examples of "
        f"{dataset.spec.name}" + ("" if given is None else f", samples from {config['samples']}"),
        markup=False,
    )
    settings = Settings(
        config["n"],
        config["seed"],
        config["k"],
        Annealing(**ais),
        config["latent"],
        options,
        noise=config["noise"],
        anomalies=None if given is not None else find_anomalies(config["anomaly"], dataset, root),
        efforts=config["efforts"],
        drawing=device.autocast,
    )
    noise_of(dataset.spec, config["noise"])
    with ShareReport(waiting_for(model, config["k"])) as progress:
        evaluation = evaluate(model, dataset, settings, run.info().get("cost", {}), given, progress)
    evaluation.facts |= {
        "run": str(run.path),
        "checkpoint": config["checkpoint"],
        "model": family_of(type(model).__name__),
    }
    if given is None and device.precision != "fp32":
        evaluation.facts["drawn_in"] = device.precision
    own = given is None
    target = run.path if own else folder
    write(evaluation, target, opened.examples, tensorboard=run.tensorboard / "evaluation" if own else None)
    if in_sweep():
        RunFolder(folder).note(results=_headline(evaluation.entries))
    elif own:
        discard_if_empty(folder)
    show(evaluation, target)


def refuse_efforts(model: Any, efforts: list[int] | None, samples: str | None) -> None:
    from genlab.commands.sample import first_state
    from genlab.config.schema import family_of
    from genlab.models.abilities import HasSamplers

    if efforts is None:
        return
    if samples is not None:
        raise GenlabError(f"efforts={efforts} draws samples and samples={samples} brings them; set one of the two")
    if not isinstance(model, HasSamplers):
        family = family_of(type(model).__name__)
        raise GenlabError(f"efforts={efforts}: samples of model={family} come in one way; leave efforts out")
    for sampler in model.samplers:
        first_state(model, {"sampler": sampler, "steps": max(efforts)})


def waiting_for(model: Any, k: int) -> str:
    """The slow part of an evaluation of `model`."""
    from genlab.models.abilities import HasLogWeights

    return (
        f"importance-weighted bound with k = {k:,}"
        if isinstance(model, HasLogWeights)
        else "log Z by annealed importance sampling"
    )


def _headline(entries: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """The figures that a sweep's table shows first."""
    first = [name for name in ("fid", "coverage", "accuracy") if name in entries]
    likelihood = [name for name in entries if name.startswith("log_likelihood")][-1:]
    return {
        name: {"value": entries[name].value, "stderr": entries[name].stderr}
        for name in [*likelihood, *first, *entries]
        if entries[name].stderr is not None and isfinite(entries[name].stderr) and isfinite(entries[name].value)
    }


def find_anomalies(word: str | None, dataset: Any, root: str | None) -> Any:
    """The data set that anomaly= names; where it names none, the classes that the training left out, if any."""
    from genlab.data.named import read_named
    from genlab.evaluation.anomaly import of_excluded, of_other_data

    if word == "excluded" or (word is None and dataset.anomalies is not None):
        return of_excluded(dataset)
    if word is None:
        return None
    return of_other_data("anomaly", word, read_named("anomaly", word, dataset.spec, root, "excluded"), dataset)


def require_umap() -> None:
    import importlib.util

    if importlib.util.find_spec("umap") is None:
        raise GenlabError("latent=umap needs umap-learn; install it with pip install umap-learn, or set latent=tsne")


def read_samples(path: Path, data: Any) -> Any:
    """Samples (n, *shape) as float32 in the range of the data. Raises GenlabError for a file that holds none."""
    import numpy as np
    import torch

    try:
        content = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise GenlabError(f"samples={path}: there is no such file; name a .npy or .npz file") from None
    except (OSError, ValueError, EOFError) as error:
        raise GenlabError(
            f"samples={path} cannot be read ({str(error).splitlines()[0]}); name a .npy or .npz file"
        ) from None
    if not isinstance(content, np.ndarray):
        names = list(content.files)
        name = "samples" if "samples" in names else names[0] if len(names) == 1 else None
        if name is None:
            raise GenlabError(
                f"samples={path} holds {', '.join(names) or 'nothing'}; name the array of samples 'samples'"
            )
        content = content[name]
    if content.dtype.kind not in "biuf":
        raise GenlabError(f"samples={path} holds {content.dtype} and not numbers; write an array of floats or uint8")
    shape = "x".join(map(str, data.shape))
    if content.ndim < 2 or content[0].size != data.dim or len(content) < 20:
        found = "x".join(map(str, content.shape))
        raise GenlabError(f"samples={path} has the shape {found}; at least 20 examples of {shape} are needed")
    scale = (
        (data.levels or 256) - 1 if content.dtype == np.uint8 and data.support != "real" and content.max() > 1 else 1
    )
    x = torch.from_numpy(content.astype(np.float32) / scale).reshape(len(content), *data.shape)
    if data.support == "binary" and bool((x.abs() == 1).all()):  # spins of -1 and +1
        x = (x + 1) / 2
    finite = x[x.isfinite()]
    if data.support != "real" and len(finite) and (float(finite.min()) < -0.01 or float(finite.max()) > 1.01):
        raise GenlabError(
            f"samples={path} has values in [{float(finite.min()):.3g}, {float(finite.max()):.3g}]; "
            "rescale them to [0, 1], or save them as uint8"
        )
    return x if data.support == "real" else x.clamp(0, 1)
