"""What a training that is shared out demands of its batches, its chains and its model. Each mistake is one line."""

from torch import nn
from torch.optim import LBFGS

from genlab.config.schema import family_of
from genlab.errors import GenlabError
from genlab.models.base import Model
from genlab.training.sections import TrainSection
from genlab.training.sharding import network_of


def check_batches(family: type, train: TrainSection, processes: int) -> None:
    """Raises GenlabError where batches cannot be dealt out to so many processes, and to the parts of train.accumulate."""
    parts = processes * train.accumulate
    if parts == 1:
        return
    words = " and ".join(
        [f"device.processes={processes}"] * (processes > 1)
        + [f"train.accumulate={train.accumulate}"] * (train.accumulate > 1)
    )
    if getattr(family, "closed_form", False):
        raise GenlabError(
            f"{words}: model={family_of(family.__name__)} is fitted in closed form, in one pass; leave it out"
        )
    if train.batch_size % parts:
        above = -(-train.batch_size // parts) * parts
        fewer = next(n for n in range(processes, 0, -1) if train.batch_size % (n * train.accumulate) == 0 or n == 1)
        other = f"device.processes={fewer} or " if fewer < processes else ""
        raise GenlabError(
            f"train.batch_size={train.batch_size}: {words} shares each batch in {parts} equal parts; "
            f"set {other}train.batch_size={above}"
        )


def check_shares(model: Model, train: TrainSection, processes: int, shard: bool = False) -> None:
    """Raises GenlabError where the updates of `model` cannot be shared out in that way."""
    parts, family = processes * train.accumulate, family_of(type(model).__name__)
    if shard:
        network_of(model)
        if processes == 1:
            raise GenlabError("device.shard=true: one process keeps all; set device.processes=2 or more")
    if train.batch_size // parts < model.least_batch:
        raise GenlabError(
            f"train.batch_size={train.batch_size}: a part of {parts} has {train.batch_size // parts} examples, and this "
            f"model takes {model.least_batch}; set a larger batch"
        )
    if train.accumulate > 1:
        _check_parts(model, train, family)
    if processes > 1:
        _check_chains(model, processes)


def _check_parts(model: Model, train: TrainSection, family: str) -> None:
    why = model.coupling
    if why is None and any(isinstance(optimizer, LBFGS) for optimizer in model.optimizers.values()):
        why = "optimizer=lbfgs evaluates its loss several times an update"
    if why is not None:
        raise GenlabError(
            f"train.accumulate={train.accumulate}: an update of model={family} is no sum over parts of its batch, because {why}; "
            "set train.accumulate=1"
        )


def _check_chains(model: nn.Module, processes: int) -> None:
    for part in model.modules():
        chains = getattr(part, "chains", None)
        if isinstance(chains, int) and bool(getattr(part, "dealt_rows", None)) and chains % processes:
            raise GenlabError(
                f"model.chains={chains}: device.processes={processes} shares them out equally; set "
                f"model.chains={-(-chains // processes) * processes}"
            )
