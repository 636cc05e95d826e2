"""Before a search starts: both ends of every range are configurations that can be built, as far as that is seen without data."""

from typing import Any

from genlab.errors import GenlabError
from genlab.sweeping.search_space import Space


def check_space(space: Space) -> Any:
    """The experiment without the search.

    Each end is tried with everything else as the configuration has it. Raises GenlabError for the first mistake.
    """
    experiment = _experiment(list(space.fixed))
    for dimension in space.dimensions:
        for end in dimension.ends:
            _experiment([*space.fixed, dimension.word(end)])
    return experiment


def _experiment(words: list[str]) -> Any:
    """The experiment that `genlab train WORDS` trains."""
    from hydra import compose

    from genlab.composition.compose import with_typed_length
    from genlab.composition.explain import explain
    from genlab.composition.own_code import allow_composed
    from genlab.config.schema import plain
    from genlab.experiment.experiment import Experiment

    try:
        composed = with_typed_length(plain(compose("train", words)), words)
        allow_composed(composed)
        return Experiment(composed)
    except Exception as error:
        line = explain(error, "train", words)
        if line is None:
            raise
        raise GenlabError(line) from None
