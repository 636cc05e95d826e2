"""Starting from another run: its parameters as they are (init), or the features that it has learned (model.start).

Of `init` all is copied whose name and shape fit, so the network is that of this run's own configuration (initial_state.py). Of
`model.start` the network is written into the configuration, and a classifier trains on its features. Both are copied once, before
the training. Nothing that comes after the first checkpoint needs that run any more: not resuming, not sampling, not evaluating.
"""

from pathlib import Path

from genlab.config.schema import family_of
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.experiment.initial_state import copy_parameters
from genlab.experiment.opening import TrainedRun, open_run, read_config
from genlab.models.abilities import Pretrains
from genlab.models.discriminative.classifier import Classifier
from genlab.networks.trunk import Trunk, describe, trunk_of
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.which_run import find_run, newest_run, runs_below
from genlab.training.devices import Device

CPU = Device(name="cpu", precision="fp32", compile=False, threads=None, processes=1)


def describe_start(experiment: Experiment) -> None:
    """Find the run that init or model.start names; describe the network of the latter in model.trunk.

    Raises GenlabError where there is no such run, or none that has features to lend.
    """
    name, init = experiment.start, experiment.config.get("init")
    if init is not None:
        if name is not None:
            raise GenlabError(
                f"init={init} and model.start={name}: set one of the two; model.start takes features only"
            )
        experiment.config = {**experiment.config, "init": str(_find(init, "init").path)}
    if name is not None:
        opened, _ = _open(_find(name))
        trunk = describe(opened.experiment.config["model"], opened.model.data)
        experiment.set_model_keys(start=str(opened.run.path), trunk=trunk)


def copy_start(experiment: Experiment) -> None:
    """Copy what the run of init or model.start has learned into the untrained model; nothing where no run is named."""
    name, init = experiment.start, experiment.config.get("init")
    if init is not None:
        run = _find(init, "init")
        try:
            opened = open_run(run, CPU, "auto")
        except GenlabError as error:
            raise GenlabError(f"init={run.path}: {error}") from None
        experiment.facts["init"] = copy_parameters(opened, experiment.model)
    if name is not None:
        assert isinstance(experiment.model, Classifier), "only a classifier has model.start"
        _, trunk = _open(_find(name))
        experiment.model.start_from(trunk)


def _find(name: str, key: str = "model.start") -> RunFolder:
    try:
        return newest_start() if name == "latest" else find_run(name)
    except GenlabError as error:
        raise GenlabError(str(error).replace("run=", f"{key}=", 1)) from None


def newest_start(outputs: Path = Path("outputs")) -> RunFolder:
    """The newest run that starts from no other: within a sweep, the job before is not the one that is meant."""
    found: list[RunFolder] = []
    for path in runs_below(outputs / "train"):
        run = RunFolder(path)
        try:
            config = read_config(run)
        except GenlabError:
            continue
        model = config.get("model")
        if isinstance(model, dict) and "start" not in model and config.get("init") is None:
            found.append(run)
    if not found:
        raise GenlabError(
            f"run=latest: there is no run to start from under {outputs / 'train'}; "
            f"train one with: {to_type('train', 'model=vae')}"
        )
    return newest_run(found)


def _open(run: RunFolder) -> tuple[TrainedRun, Trunk]:
    """The run on the CPU, and the layers that it lends."""
    try:
        opened = open_run(run, CPU, "last")
    except GenlabError as error:
        raise GenlabError(f"model.start={run.path}: {error}") from None
    conditional = opened.experiment.config["model"].get("conditional") is True
    if conditional and not isinstance(opened.model, Pretrains):
        raise GenlabError(
            f"model.start={run.path}: its encoder takes the class as an input; "
            "start from a run with model.conditional=false"
        )
    trunk = trunk_of(opened.model)
    if trunk is None:
        raise GenlabError(
            f"model.start={run.path}: model={family_of(type(opened.model).__name__)} has no encoder to start from; "
            "name a run of a family that has one, such as model=vae, ae or rbm"
        )
    return opened, trunk
