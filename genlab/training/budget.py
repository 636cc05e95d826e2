"""What the pictures and the measures of a run may cost beside its training: train.evaluation_budget.

A short training of an expensive model would otherwise spend more time on its pictures and on the test split than on itself.
Costs are counted in operations and not timed (numerics/work.py), so that a run shows and measures the same however busy the
machine is, and a resumed run the same as one that was never stopped. Of what they may cost pictures get 0.4, measures 0.35, and
looks at the state of the model, at each record, a quarter.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from genlab.data.dataset import Dataset
from genlab.data.subsets import batch_of
from genlab.inference.sampling import BLOCK, draw_fewer, sampling_options
from genlab.inference.shown_examples import COLUMNS, POINTS
from genlab.models.base import GenerativeModel, Model, evaluation_mode
from genlab.numerics import rng
from genlab.numerics.work import Work, count_work
from genlab.tracking.console import BESIDE
from genlab.tracking.next_steps import to_type
from genlab.training.cadence import SETS
from genlab.training.sections import TrainSection
from genlab.training.validation import EVALUATION_BATCH

PICTURES, MEASURES, LOOKS = 0.4, 0.35, 0.25  # shares of what all may cost
FREE = 0.2  # nominal seconds that each of them may take however short the training is
PROBE = 8  # examples from which the cost of a measure is counted
LEAST_MEASURED = 100  # examples
LEAST_SETS = 3  # of pictures, for which samples become fewer; the most samples are for those who have all sets
SECONDS_OF_SET = 0.03  # nominal ones, of the files of one set of pictures


@dataclass(frozen=True)
class Budget:
    """How much is shown and measured of one training."""

    samples: int
    """In a set of pictures."""
    sets: int
    """Sets of pictures, that at the end included."""
    validation: int
    """Examples of each evaluation on the validation split."""
    test: int
    seconds: float | None
    """Nominal seconds for all sets of pictures; None for no limit."""

    def after_first_set(self, nominal_seconds: float) -> int:
        """Sets of pictures, where one costs so much."""
        return self.sets if self.seconds is None else max(1, min(self.sets, int(self.seconds / nominal_seconds)))


def all_samples(model: Model) -> int:
    """In a set of pictures that costs little."""
    return COLUMNS * COLUMNS if model.data.on_grid else POINTS


def unlimited(model: Model, dataset: Dataset) -> Budget:
    validation = 0 if dataset.validation is None else len(dataset.validation)
    return Budget(all_samples(model), SETS, validation, len(dataset.test), None)


def budget_of(
    model: Model, dataset: Dataset, seed: int, train: TrainSection, training: float, evaluations: int
) -> Budget:
    """What train.evaluation_budget of a training of that many nominal seconds allows.

    `evaluations` are those on the validation split. What the user has chosen the moments of is done in full.
    """
    share = train.evaluation_budget
    if share is None:
        return unlimited(model, dataset)
    whole, of_pictures = unlimited(model, dataset), max(FREE, PICTURES * share * training)
    of_measures = max(FREE, MEASURES * share * training)
    with evaluation_mode(model), torch.no_grad(), rng.seeded(seed, "budget", device=model.device):
        measure = partial(_affordable, _cost_of_measures(model, dataset), of_measures / 2)
        test = measure(1, whole.test)
        validation = whole.validation if train.eval_every is not None else measure(evaluations, whole.validation)
        if train.sample_every is not None:
            return Budget(whole.samples, whole.sets, validation, test, None)
        cost = _cost_of_samples(model, dataset, seed)
    choices = (100, 60, 30, 10) if model.data.on_grid else (1024, 512, 256, 128, 64)
    least = {n: SETS if n == whole.samples else LEAST_SETS for n in choices}
    samples = next((n for n in choices if least[n] * (cost(n) + SECONDS_OF_SET) <= of_pictures), choices[-1])
    sets = max(1, min(SETS, int(of_pictures / (cost(samples) + SECONDS_OF_SET))))
    return Budget(samples, sets, validation, test, of_pictures)


def stride(cost: float, allowed: float) -> int:
    """Every how many records the state of the model is looked at, where all looks cost `cost` of `allowed` nominal seconds."""
    return max(1, math.ceil(cost / max(FREE, LOOKS * allowed)))


def _affordable(cost: float, budget: float, times: int, of: int) -> int:
    """Of `of` examples, those that can be measured so many times: two significant digits, or all."""
    n = int(budget / (times * cost)) if cost > 0 else of
    if n >= of:
        return of
    rounding = int(10 ** max(0, len(str(n)) - 2))
    return min(of, max(LEAST_MEASURED, n // rounding * rounding))


def _cost_of_measures(model: Model, dataset: Dataset) -> float:
    """Nominal seconds for one example."""
    few = batch_of(dataset.test, PROBE, dataset.represent, model.device)
    work = count_work(partial(model.evaluate, few))
    return (
        Work(work.flops, 0, work.numbers).nominal_seconds / len(few.x)
        + Work(0, work.operations).nominal_seconds / EVALUATION_BATCH
    )


def _cost_of_samples(model: Model, dataset: Dataset, seed: int) -> Callable[[int], float]:
    """Nominal seconds for a number of samples."""
    if not isinstance(model, GenerativeModel):
        return lambda n: 0.0
    work = count_work(partial(draw_fewer, model, 1, seed, **sampling_options(model, dataset, {})))

    def cost(n: int) -> float:
        blocks = -(-n // BLOCK)
        examples = n if n < BLOCK else blocks * BLOCK
        many = Work(work.flops * examples, work.operations * blocks, work.numbers * examples, work.other_seconds)
        return many.nominal_seconds

    return cost


def cost_of_set(show: Callable[[], object]) -> float:
    """Nominal seconds of a set of pictures, which `show` shows."""
    return count_work(show).nominal_seconds + SECONDS_OF_SET


def remark(budget: Budget, model: Model, dataset: Dataset, words: Sequence[str], sets: int) -> str | None:
    """What was left out, and on further lines the commands that make it; None where all is there. `sets` were drawn."""
    whole = unlimited(model, dataset)
    parts, commands = [], []
    if budget.test < whole.test:
        parts.append(f"{budget.test:,} of {whole.test:,} test examples are measured")
        commands.append(to_type("evaluate", *words))
    elif budget.validation < whole.validation:
        parts.append(f"evaluations in between are of {budget.validation:,} of {whole.validation:,} validation examples")
    if isinstance(model, GenerativeModel):
        shown = [f"{budget.samples:,} samples of {whole.samples:,}"] if budget.samples < whole.samples else []
        shown += [f"{sets} of {SETS} sets"] if budget.seconds is not None and 2 * sets <= SETS else []
        if shown:
            parts.append(f"pictures are of {' in '.join(shown)}")
            commands.append(to_type("sample", *words))
    if not parts:
        return None
    said = f"{' and '.join(parts)}, so that they cost less than the training; "
    if not commands:
        return f"{said}train.evaluation_budget=null takes all"
    return said + "for more:\n" + "\n".join(f"{BESIDE * ' '}{command}" for command in commands)
