"""The ready searches in conf/search: each composes, every end of every range is a configuration, the default lies within."""

from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from genlab.composition.catalogue import names
from genlab.composition.resolvers import register_interpolations
from genlab.config.schema import family_of, plain
from genlab.config.targets import locate
from genlab.experiment.experiment import Experiment
from genlab.report.measures import definition
from genlab.sweeping.launchers import SWEEPER
from genlab.sweeping.offered_plugins import offer_plugins
from genlab.sweeping.search_space import Space, read_space

FAMILIES = sorted(names("search"))
UNDECLARED = {"mse", "score_matching", "velocity_error"}
"""Measures whose better direction the file of a search states itself."""


def composed(*words: str, hydra: bool = False) -> Any:
    register_interpolations()
    offer_plugins()
    GlobalHydra.instance().clear()
    with initialize_config_module("genlab.conf", version_base="1.3"):
        return compose("train", list(words), return_hydra_config=hydra)


def space_of(family: str, *words: str) -> tuple[Any, Space]:
    """Hydra's section of a search, and what it varies."""
    full = composed(f"search={family}", hydra=True)
    return full.hydra, read_space(full.hydra.sweeper.params, [f"model={family}", *words])


def with_word(config: dict[str, Any], word: str) -> dict[str, Any]:
    """`config` with a key as an override sets it; the key must be there."""
    section, _, key = word.partition("=")[0].partition(".")
    assert key in config[section], word
    value = OverridesParser.create().parse_override(word).value()
    return {**config, section: {**config[section], key: value}}


def test_every_family_has_a_search() -> None:
    assert sorted(names("model")) == FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_every_end_of_every_range_is_a_configuration(family: str) -> None:
    hydra, space = space_of(family)
    assert hydra.sweeper._target_ == SWEEPER
    assert hydra.mode.name == "MULTIRUN"
    assert hydra.runtime.choices.model == family
    config = plain(composed(*space.fixed))
    for dimension in space.dimensions:
        assert len(set(dimension.ends)) > 1
        for end in dimension.ends:
            Experiment(with_word(config, dimension.word(end)))
    first = [dimension.word(dimension.ends[0]) for dimension in space.dimensions]
    assert plain(composed(*space.fixed, *first))["model"]["_target_"] == config["model"]["_target_"]  # Hydra reads them


@pytest.mark.parametrize("family", FAMILIES)
def test_the_rate_and_the_batch_of_a_family_lie_in_its_space(family: str) -> None:
    _, space = space_of(family)
    found = space.defaults(Experiment(plain(composed(*space.fixed))).config)
    keys = {dimension.key for dimension in space.dimensions} & {"optimizer.lr", "train.batch_size"}
    assert keys <= set(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_objective_is_a_measure_with_a_direction(family: str) -> None:
    hydra, _ = space_of(family)
    metric, direction = hydra.sweeper.metric, hydra.sweeper.direction
    model: Any = locate(composed(f"model={family}").model._target_, "model")
    assert family_of(model.__name__) == family
    stated = model.quantities.get(metric)
    better = (stated and stated.better) or definition(metric).better or ("lower" if metric == "loss" else None)
    if metric in UNDECLARED:
        assert direction == "minimize"
        assert better is None or better == "lower"
    else:
        assert direction is None or (direction == "minimize") == (better == "lower")
        assert better in ("lower", "higher")


def test_a_word_of_the_command_line_takes_the_place_of_a_range() -> None:
    _, space = space_of("vae", "model.beta=1.0", "optimizer.lr=choice(0.001,0.002)")
    assert "model.beta=1.0" in space.fixed
    assert "model.beta" not in {dimension.key for dimension in space.dimensions}
    assert next(d for d in space.dimensions if d.key == "optimizer.lr").choices == ("0.001", "0.002")
