"""What is found out about a sweep before its first job: what it sweeps over, whether that is too much, and mistakes in it."""

import math

from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from omegaconf import DictConfig, flag_override

from genlab.commands.sweep_plan import BASIC
from genlab.composition.compose import with_typed_length
from genlab.composition.own_code import allow_composed
from genlab.composition.words import as_typed
from genlab.errors import complain

MOST_JOBS = 10_000


def settle_experiment(config: DictConfig) -> list[str]:
    """The overrides of the jobs: what an experiment sweeps over (hydra.sweeper.params), and the command line, which wins.

    An experiment may sweep over other experiments. Then its own name is no override of its jobs, and they are told that they
    are jobs of a sweep.
    """
    task = as_typed(config.hydra.overrides.task)
    params = dict(config.hydra.sweeper.get("params") or {})
    if "experiment" in params:
        task = [word for word in task if word.partition("=")[0] != "experiment"]
        with flag_override(config, ["struct", "readonly"], False):
            config.hydra.overrides.task = task
            config.hydra.overrides.hydra = [*as_typed(config.hydra.overrides.hydra), "hydra.mode=MULTIRUN"]
    typed = {word.lstrip("+").partition("=")[0] for word in task}
    return [f"{key}={value}" for key, value in params.items() if key not in typed] + task


def number_of_jobs(overrides: list[str], config: DictConfig) -> int | None:
    """How many jobs a sweep has; None where nobody knows. One of more than MOST_JOBS, which Hydra would list first, ends here.

    Other sweepers than Hydra's own draw from the values, as many as they are told to.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if config.hydra.sweeper._target_ != BASIC:
        drawn = config.hydra.sweeper.get("n_trials")
        return drawn if isinstance(drawn, int) else None
    jobs, largest, most = 1, "", 0
    for override in OverridesParser.create().parse_overrides(overrides):
        values = number_of_values(override)
        jobs *= values
        if values > most:
            largest, most = str(override.input_line), values
    if jobs > MOST_JOBS:
        complain(f"{largest}: a sweep of {jobs:,} jobs; genlab starts {MOST_JOBS:,} at most: name fewer values")
        raise SystemExit(2)
    return jobs


def number_of_values(override: Override) -> int:
    """How many values an override sweeps over; 1 where it does not, or where only Hydra can tell."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if not isinstance(value, RangeSweep) or value.start is None or value.stop is None:
        return 1
    values = (value.stop - value.start) / value.step if value.step else math.inf
    return math.ceil(max(0.0, min(values, 1e18)))  # also of an endless one


def refuse_mistakes(overrides: list[str]) -> None:
    """End the sweep before its first job, where one of its values is a mistake that can be found without data.

    Each value is tried with the first of the others. Sweepers other than Hydra's own have a syntax of their own: their values
    are not tried.
    """
    from hydra import compose
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from genlab.composition.explain import explain
    from genlab.config.schema import plain
    from genlab.experiment.experiment import Experiment

    choices = []
    for override in OverridesParser.create().parse_overrides(overrides):
        if not override.is_sweep_override():
            choices.append([override.input_line or ""])
        elif override.is_discrete_sweep():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            return
    first = [values[0] for values in choices]
    for k, values in enumerate(choices):
        for value in values if k == 0 else values[1:]:
            chosen = [*first[:k], value, *first[k + 1 :]]
            try:
                composed = with_typed_length(plain(compose("train", chosen)), chosen)
                allow_composed(composed)
                Experiment(composed)
            except Exception as error:
                line = explain(error, "train", chosen)
                if line is not None:
                    complain(line)
                    raise SystemExit(2) from None
