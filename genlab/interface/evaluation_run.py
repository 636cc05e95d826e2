"""The evaluation of a trained run: what was asked for is checked, then measured, written and shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from genlab.config.schema import check, family_of
from genlab.config.types import Count, NonNegative, Seed
from genlab.data.places import places
from genlab.errors import GenlabError
from genlab.evaluation.anomalous_data import find_anomalies
from genlab.evaluation.code_maps import require_installed
from genlab.evaluation.denoising import noise_of
from genlab.evaluation.evaluation import evaluate
from genlab.evaluation.evaluation_context import Settings
from genlab.evaluation.findings import Findings
from genlab.evaluation.given_samples import read_samples
from genlab.evaluation.output import show, write
from genlab.evaluation.remedies import Training
from genlab.experiment.opening import TrainedRun, open_run
from genlab.inference.partition import Annealing
from genlab.inference.sampling import check_options, draw_first_state
from genlab.interface.sampling_run import options_beside
from genlab.models.abilities import HasSamplers
from genlab.models.base import GenerativeModel, Model
from genlab.tracking.console import console, fact
from genlab.tracking.which_run import find_run
from genlab.training.devices import Device

Steps = Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found, and the folder that holds its metrics.json."""

    findings: Findings
    folder: Path


def keys(
    *,
    run: str | int,
    n: Annotated[int, Field(ge=20, le=1_000_000)] | None,
    seed: Seed,
    k: Count,
    ais: dict[str, Any],
    checkpoint: Literal["auto", "last", "best"],
    samples: str | None,
    latent: Literal["pca", "tsne", "umap"],
    anomaly: str | None,
    noise: NonNegative | None,
    fid_steps: Steps | None,
    efforts: Steps | None,
    dataset: dict[str, Any],
    device: dict[str, Any],
) -> None:
    """The schema of conf/evaluate.yaml; that of conf/sampling.yaml is the family's sample_loop."""


def evaluate_run(config: dict[str, Any], folder: Path) -> Evaluated:
    """Measure a run; writes metrics.json and evaluation/ into its folder, for samples from elsewhere into `folder`."""
    options = options_beside(keys, config)
    (ais,) = check(config["ais"], "ais", Annealing)
    (where,) = check(config["dataset"], "dataset", places)
    refuse_contradictions(config)
    require_installed(config["latent"])
    device = Device.of(config["device"])
    device.prepare()
    run = find_run(str(config["run"]))
    opened = open_run(run, device, config["checkpoint"], where)
    config["checkpoint"] = opened.which
    model = opened.model
    options = check_options(model, options)
    fid_steps = checked_fid_steps(model, config)
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
        fid_steps=fid_steps,
        precision=device.autocast,
    )
    noise_of(dataset.spec, config["noise"])  # refuses a level that makes no sense before anything is measured
    findings = evaluate(model, dataset, settings, run.info().get("cost", {}), given, training_of(opened, config))
    findings.facts |= {
        "run": str(run.path),
        "checkpoint": config["checkpoint"],
        "model": family_of(type(model).__name__),
        "settings": {key: config[key] for key in config if key not in ("run", "dataset", "device")}
        | {"precision": device.precision},
    }
    if given is None and device.precision != "fp32":
        findings.facts["drawn_in"] = device.precision
    own = given is None
    target = run.path if own else folder
    kept = write(findings, target, opened.examples, tensorboard=run.tensorboard / "evaluation" if own else None)
    show(findings, target)
    if kept is not None:
        fact("earlier", f"the evaluation before, with other settings, is kept in {kept}/")
    return Evaluated(findings, target)


def training_of(opened: TrainedRun, config: dict[str, Any]) -> Training:
    """What the remedies of diagnoses depend on: the training of the run, and the keys of this command."""
    experiment = opened.experiment
    own = {"ais": config["ais"]}
    if opened.run.best.exists():
        own["checkpoint"] = config["checkpoint"]
    return Training({**experiment.config, **own}, opened.examples, experiment.examples, experiment.preferred_examples)


def refuse_contradictions(config: dict[str, Any]) -> None:
    """Raises GenlabError for keys of which only one can be set."""
    anomaly, samples, fid_steps, efforts = (config[key] for key in ("anomaly", "samples", "fid_steps", "efforts"))
    if samples is not None and anomaly is not None:
        raise GenlabError(f"anomaly={anomaly} measures the model and samples={samples} need none; set one of the two")
    if fid_steps is not None and efforts is not None:
        raise GenlabError(f"efforts={efforts} is the older name of fid_steps={fid_steps}; set one of the two")


def checked_fid_steps(model: Model, config: dict[str, Any]) -> list[int] | None:
    """fid_steps, or efforts as it was called. Raises GenlabError where the family cannot sample so."""
    key = "fid_steps" if config["efforts"] is None else "efforts"
    steps, samples = config[key], config["samples"]
    if steps is None:
        return None
    if samples is not None:
        raise GenlabError(f"{key}={steps} draws samples and samples={samples} brings them; set one of the two")
    if not (isinstance(model, HasSamplers) and isinstance(model, GenerativeModel)):
        family = family_of(type(model).__name__)
        raise GenlabError(f"{key}={steps}: samples of model={family} come in one way; leave {key} out")
    for sampler in model.samplers:
        draw_first_state(model, {"sampler": sampler, "steps": max(steps)})
    return list(steps)
