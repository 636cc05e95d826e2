"""What a search may vary: Hydra's words for a range, read without Optuna.

interval(0.1, 2) a number, int(interval(2, 64)) a whole one, tag(log, interval(1e-4, 1e-2)) one whose logarithm is spread evenly,
range(0, 10, 2) and choice(a, b) or a,b some values. A word of one value is fixed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genlab.errors import GenlabError

DIGITS = 4
"""Of a number that was drawn: more say nothing."""
Value = float | int | str


@dataclass(frozen=True)
class Dimension:
    """One key of a search and its values: numbers from `low` to `high`, or `choices`, as they stand in an override."""

    key: str
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    step: float | int | None = None
    choices: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)

    @property
    def ends(self) -> list[Value]:
        """The least and the largest value, or all choices."""
        return list(self.choices) or [end for end in (self.low, self.high) if end is not None]

    def word(self, value: Value) -> str:
        """The override that sets the key."""
        return f"{self.key}={value if isinstance(value, int | str) else f'{value:.{DIGITS}g}'}"

    def holds(self, value: Any) -> Value | None:
        """`value`, out of a configuration, as a value of this dimension; None where it is outside."""
        if self.choices:
            return next((text for text in self.choices if _read(f"{self.key}={text}") == value), None)
        if isinstance(value, bool) or not isinstance(value, int | float) or self.low is None or self.high is None:
            return None
        if self.whole and not isinstance(value, int):
            return None
        on_step = (
            self.step is None or abs((value - self.low) / self.step - round((value - self.low) / self.step)) < 1e-9
        )
        return value if self.low <= value <= self.high and on_step else None

    def distribution(self, optuna: Any) -> Any:
        """Optuna's words for it."""
        if self.choices:
            return optuna.distributions.CategoricalDistribution(self.choices)
        if self.whole:
            return optuna.distributions.IntDistribution(self.low, self.high, log=self.log, step=int(self.step or 1))
        return optuna.distributions.FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def __str__(self) -> str:
        if self.choices:
            return f"{self.key}: {' | '.join(self.choices)}"
        beside = ", evenly in its logarithm" if self.log else "" if self.step is None else f", in steps of {self.step}"
        return f"{self.key}: {self.low} to {self.high}{beside}"


@dataclass(frozen=True)
class Space:
    """The overrides that all trials share, and what differs between them."""

    fixed: tuple[str, ...]
    dimensions: tuple[Dimension, ...]

    def words(self, values: Mapping[str, Value]) -> list[str]:
        """The overrides of a trial with these values. A key without a value stays as the configuration has it."""
        return [*self.fixed, *(d.word(values[d.key]) for d in self.dimensions if d.key in values)]

    def defaults(self, config: Mapping[str, Any], model: object = None) -> dict[str, Value]:
        """The values that a configuration has already, of those keys for which it lies in the space.

        What null stands for is asked of `model`, which is built from it, where that has an attribute of this name.
        """
        found = {}
        for dimension in self.dimensions:
            value = _at(config, dimension.key)
            if dimension.holds(value) is None and value is None and dimension.key.startswith("model."):
                value = getattr(model, dimension.key.removeprefix("model."), None)
            found[dimension.key] = dimension.holds(value)
        return {key: value for key, value in found.items() if value is not None}

    def describe(self) -> list[str]:
        return [str(dimension) for dimension in self.dimensions]


def read_space(params: Mapping[str, Any], words: Sequence[str]) -> Space:
    """The space of hydra.sweeper.params and the words of the command line, which win.

    Raises GenlabError where there is nothing to vary, and where a seed would be.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    typed = {word.lstrip("+").partition("=")[0] for word in words}
    given = [f"{key}={value}" for key, value in params.items() if key not in typed]
    fixed, dimensions = [], []
    parsed = {str(word.get_key_element()): word for word in OverridesParser.create().parse_overrides([*given, *words])}
    for word in parsed.values():  # of a key that is typed twice the last word
        if not word.is_sweep_override():
            fixed.append(str(word.input_line))
            continue
        dimension = _dimension(word)
        if dimension.key == "seed":
            raise GenlabError(
                f"{word.input_line}: a seed is no choice, and the luckiest one would win; search with one seed, and train the "
                "best configuration with several"
            )
        dimensions.append(dimension)
    if not dimensions:
        raise GenlabError(
            "hydra/sweeper=optuna: there is nothing to vary; choose search=vae or another that genlab list shows, or name "
            "ranges, such as 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
        )
    return Space(tuple(fixed), tuple(dimensions))


def _dimension(word: Any) -> Dimension:
    """What an override sweeps over. Raises GenlabError for a range without an end, and a logarithm of what is not above 0."""
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    key, value = str(word.get_key_element()), word.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if low is None or high is None or low >= high or (log and low <= 0):
            above = " and above 0" if log else ""
            raise GenlabError(f"{word.input_line}: name the smaller end first{above}, as in {key}=interval(0.1,2)")
        return Dimension(key, low, high, log)
    if isinstance(value, RangeSweep) and not value.shuffle:
        start, stop, step = value.start, value.stop, value.step
        if start is None or stop is None or step <= 0 or stop <= start:
            raise GenlabError(f"{word.input_line}: name both ends and a step upwards, as in {key}=range(0,10,2)")
        steps = int((stop - start) / step - 1e-9)  # the end is not one of them
        return Dimension(key, start, start + steps * step, step=step)
    texts = (text.lower() if text in ("True", "False") else text for text in word.sweep_string_iterator())
    return Dimension(key, choices=tuple(dict.fromkeys(texts)))


def _read(word: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(word).value()


def _at(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.lstrip("+").split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def keys_that_differ(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """'key=1 -> key=2' of two lists of words; nothing where they say the same in another order."""
    before, after = ({word.partition("=")[0]: word for word in words} for words in (old, new))
    keys = dict.fromkeys([*before, *after])
    return [f"{before.get(k, 'nothing')} -> {after.get(k, 'nothing')}" for k in keys if before.get(k) != after.get(k)]
