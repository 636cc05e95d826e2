"""Training a run on: to another length, with another cadence or another patience. All else of it stays what it is.

The state of the run is its last checkpoint. Its configuration there, and the moments of pictures, are rewritten once; from then
on the run is an ordinary one of the new length, which can be stopped, killed and resumed. The order of the examples is a function
of the seed and of the position alone, so a run of 2 epochs that is trained on to 4 is one of 4 epochs, to the last bit, unless
something in it counts shares of its length: a learning-rate schedule, or a key of the family (Model.paced).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genlab.config.schema import check, differing_keys, family_of
from genlab.data.places import without_places
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.optimizers.recipe import schedule_factor
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_folder import RunFolder
from genlab.training import checkpoint
from genlab.training.looking import planned_anew
from genlab.training.sections import TrainSection

LENGTHS = ("epochs", "examples")
CHANGEABLE = (*LENGTHS, "log_every", "eval_every", "sample_every", "checkpoint_every", "patience")
"""Keys of the section `train` that may change between two sessions of a run."""


@dataclass(frozen=True)
class Progress:
    """How far the last checkpoint of a run is, in examples."""

    seen: int
    planned: int
    stopped_early: bool

    @property
    def complete(self) -> bool:
        return self.seen >= self.planned or self.stopped_early


def with_training(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the keys `given` of its section `train`; of the two lengths the one that is given wins.

    Raises GenlabError where a length is taken away.
    """
    train = dict(config.get("train") or {})
    lengths = [key for key in LENGTHS if given.get(key) is not None]
    if not lengths and (named := [key for key in LENGTHS if key in given]):
        raise GenlabError(f"train.{named[0]}=null: a run goes on to a length; name it, as in train.{named[0]}=40")
    if len(lengths) == 1:
        train |= dict.fromkeys(LENGTHS)
    return {**config, "train": {**train, **given}}


def progress_of(experiment: Experiment, state: Mapping[str, Any]) -> Progress:
    """That of the checkpoint `state` of a run, whose length is the one that its own configuration says."""
    (section,) = check(state["config"]["train"], "train", TrainSection)
    planned = experiment.length_of(TrainSection(**section))
    return Progress(int(state["batches"]["seen"]), planned, bool(state["stopped_early"]))


def train_on(experiment: Experiment, run: RunFolder) -> str | None:
    """Let `run` go on with the section `train` of the `experiment`, built already, where that differs from its last checkpoint.

    Returns what changes, in a line; None where nothing does. Raises GenlabError where the run cannot go on like this, before
    anything is written. A process that is killed in between leaves a run that the same command trains on.
    """
    state = checkpoint.load(run.last)
    with checkpoint.fitting(run.last):
        changed = differing_keys(without_places(state["config"]), without_places(experiment.config))
        if not changed or any(line.partition(":")[0] not in {f"train.{key}" for key in CHANGEABLE} for line in changed):
            return None  # the trainer names what is none of these
        before = progress_of(experiment, state)
        length = experiment.examples
        _refuse(experiment, run, state, before)
        finished = run.state == "finished" and before.complete
        new = length != before.planned or before.complete
        seams = [*state["seams"], *([{"examples": before.seen, "from": before.planned, "to": length}] if new else [])]
        moments = experiment.train.cadence(len(experiment.dataset.train), length).sample
        state |= {
            "config": experiment.config,
            "looking": planned_anew(state["looking"], experiment.train, list(moments), before.seen),
            "seams": seams,
            "stopped_early": False,
        }
        if finished:
            state |= _after_the_end(run, state, before.seen)
    earlier = run.info()
    run.write_config(experiment.config)
    checkpoint.save(run.last, state)
    if new:
        noted = {**seams[-1], "results": earlier.get("results") if finished else None}
        run.note(seams=[*earlier.get("seams", []), noted], stopped_early=None)
    return _words(experiment, before, changed)


def waits(state: Mapping[str, Any]) -> bool:
    """Whether the checkpoint `state` of a run is one that was let go on after its end, and has not done so yet."""
    return bool(state["seams"]) and state["seams"][-1]["examples"] == state["batches"]["seen"]


def _refuse(experiment: Experiment, run: RunFolder, state: Mapping[str, Any], before: Progress) -> None:
    """Raises GenlabError where there is nothing to train on, or nothing left to do."""
    train, length = experiment.train, experiment.examples
    key = f"train.epochs={train.epochs}" if train.epochs is not None else f"train.examples={train.examples}"
    if experiment.model.closed_form:
        family = family_of(type(experiment.model).__name__)
        raise GenlabError(
            f"run={run.path}: model={family} is fitted in closed form, from each example once: there is nothing to train on; "
            f"fit other data by: {to_type('train', f'model={family}')}"
        )
    if length <= before.seen:
        epochs = f" ({before.seen / len(experiment.dataset.train):.3g} epochs)" if train.epochs is not None else ""
        raise GenlabError(
            f"{key}: the run has seen {before.seen:,} examples{epochs} already; set a greater length, or train a new run"
        )
    waited = int(state["lowest"]["waited"])
    if train.patience is not None and waited >= train.patience:
        raise GenlabError(
            f"train.patience={train.patience}: the run has waited for {waited} evaluations already; "
            f"set train.patience={waited + train.patience}, or train.patience=null"
        )


def _after_the_end(run: RunFolder, state: Mapping[str, Any], seen: int) -> dict[str, Any]:
    """What a finished run did after its last checkpoint: the final evaluation, and its record."""
    lowest = dict(state["lowest"])
    if run.best.exists():
        best = checkpoint.load(run.best)
        found = {"value": float(best["eval"]["eval/loss"]), "at": int(best["examples"])} if "eval" in best else {}
        lowest |= found | ({"waited": 0} if found.get("at", -1) > lowest["at"] else {})
    return {"window": [], "logs": run.log_sizes(), "lowest": {**lowest, "counted": seen}}


def _words(experiment: Experiment, before: Progress, changed: list[str]) -> str:
    length = experiment.examples
    if length == before.planned:
        return f"goes on with {'; '.join(changed)}"
    kind = "on" if length > before.planned else "less long"
    line = f"trains {kind}: from {before.seen:,} to {length:,} examples (before: {before.planned:,})"
    paced = _paced(experiment, before.seen / length)
    if not paced:
        own = type(experiment.model).__module__.startswith("genlab.")
        same = "; nothing in it depends on the length: it is as if the length had been this from the start"
        return line + same * own
    return f"{line}, at {before.seen / length:.0%} of the new length, which counts for {' and '.join(paced)}"


def _paced(experiment: Experiment, progress: float) -> list[str]:
    """Settings whose effect is a share of the length, and what they do at `progress`."""
    recipe, model = experiment.recipe, experiment.model
    found = []
    if model.optimizers and (recipe.schedule != "constant" or recipe.warmup):
        rate = float(next(iter(model.optimizers.values())).param_groups[0]["base_lr"])
        now = rate * schedule_factor(recipe.schedule, recipe.warmup, progress)
        end = "falling to 0 at its end" if recipe.schedule != "constant" else "constant from there"
        key = f"optimizer.schedule={recipe.schedule}" if recipe.schedule != "constant" else ""
        keys = [key] if key else []
        keys += [f"optimizer.warmup={recipe.warmup:g}"] if recipe.warmup else []
        found.append(f"{' and '.join(keys)} (rate {now:.3g} now, {end})")
    for name in model.paced:
        if value := getattr(model, name, None):
            found.append(f"model.{name}={value:g}")
    return found
