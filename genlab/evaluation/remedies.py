"""Remedies that fit: of the changes that a diagnosis proposes, those that this model in this configuration can take.

A remedy names keys that the model has, values other than those that are set, and only such as the constructor takes. Before a
model has seen a share of the length that its file in conf prefers (`Kind.after`), what it does not do yet is no fault.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from genlab import models
from genlab.config.schema import build, check, family_of, keys_of
from genlab.config.targets import locate
from genlab.errors import GenlabError
from genlab.evaluation.diagnoses import Diagnosis, Name
from genlab.models.base import Model
from genlab.models.candidates import UNKNOWN, Candidate, choose, family, fewer, higher, lower
from genlab.numerics import rng
from genlab.optimizers.recipe import Recipe

ENOUGH = 0.3
"""Share of the preferred length from which a model is judged."""
MOST = 3  # changes that one remedy names

RATE = lower("optimizer.lr", 0.3)
CLIP = lower("optimizer.clip", to=1.0)


@dataclass(frozen=True)
class Training:
    """The training that a model has behind it."""

    config: Mapping[str, Any]
    """All that is set: sections with their keys, and the keys of the command itself."""
    seen: int
    """Examples seen."""
    planned: int
    """Length of the training in examples ..."""
    preferred: int
    """... and the one that the model prefers, with these data and this optimizer."""

    @property
    def share(self) -> float:
        return self.seen / self.preferred


@dataclass(frozen=True)
class Kind:
    """What is known of one diagnosis apart from its evidence."""

    candidates: Sequence[Candidate]
    """General ones, the best first. Those of the family itself come before them."""
    length: Literal["longer", "shorter"] | None = None
    """Whether another length of the training may help."""
    after: float = ENOUGH
    """Share of the preferred length before which it is no verdict."""
    lasting: float = 0.0
    """Share of the preferred length for which the scalars of a training must show it without a break."""
    families: Sequence[str] = field(default=("diffusion", "vae"))
    """Others to take where nothing else is left, by their names in conf/model."""


_OF_DIVERGENCE = Kind((RATE, CLIP), after=0.0)
_OF_MODES = Kind((RATE,), length="longer")

KINDS: dict[Name, Kind] = {
    "posterior collapse": Kind(
        (
            higher("model.kl_warmup", to=0.5),
            lower("model.beta", 0.5, to=1.0),
            higher("model.free_bits", to=0.1),
            lower("model.latent_dim", 0.5),
            lower("model.levels", 0.5),
        ),
        length="longer",
    ),
    "dead code units": Kind(
        (
            choose("model.activation", "leaky_relu", activation="relu"),
            lower("model.sparsity", 0.1),
            lower("model.contraction", 0.1),
            RATE,
            lower("model.latent_dim", 0.5),
        )
    ),
    "a latent level is asleep": Kind(
        (choose("model.inference", "ladder"), higher("model.kl_warmup", to=0.5), fewer("model.levels")),
        length="longer",
        families=("vae",),
    ),
    "mode collapse": _OF_MODES,
    "low coverage": _OF_MODES,
    "missing classes": _OF_MODES,
    "samples far from the data": Kind((RATE,), length="longer"),
    "memorisation": Kind(
        (
            choose("checkpoint", "best"),
            higher("model.dropout", to=0.1),
            higher("model.prior_dropout", to=0.1),
            lower("model.hidden", 0.5),
        ),
        length="shorter",
    ),
    "range of the decoder": Kind(
        (choose("model.output", "auto"), choose("model.likelihood", "auto"), RATE), length="longer"
    ),
    "range of the samples": Kind((RATE, CLIP), length="longer"),
    "non-finite values": Kind((choose("checkpoint", "best"), RATE, CLIP), after=0.0),
    "log Z is uncertain": Kind((higher("ais.temperatures", 4),), after=0.0),
    "the discriminator has won": Kind((RATE,), after=0.05, lasting=0.05),
    "divergence": _OF_DIVERGENCE,
    "chains do not mix": Kind((choose("optimizer.schedule", "linear"), RATE)),
    "energies run away": _OF_DIVERGENCE,
}


def verdict(found: Iterable[Diagnosis], model: Model, training: Training | None) -> list[Diagnosis]:
    """Those of the diagnoses `found` for which the model has trained long enough, each with its remedy.

    Of a model whose training is not known (None) all of them, without remedies.
    """
    if training is None:
        return list(found)
    return [replace(d, remedy=remedy(d.name, model, training)) for d in found if training.share >= KINDS[d.name].after]


def too_early(model: Model, training: Training) -> str | None:
    """What is said in place of a verdict; None where the model has trained long enough for one."""
    if training.share >= ENOUGH:
        return None
    name, judged = family_of(type(model).__name__), round(ENOUGH * training.preferred)
    return (
        f"no verdict yet on what it has learned: model={name} has seen {training.seen:,} of the {training.preferred:,} examples "
        f"that it prefers, and is judged from {judged:,} on"
    )


def remedy(name: Name, model: Model, training: Training) -> str:
    """What to do against the fault `name`, in words that can be typed."""
    kind, own = KINDS[name], model.remedies.get(name, ())
    candidates = [*own, *kind.candidates]
    if _rate_is_unusual(training):
        candidates.sort(key=lambda candidate: candidate.key != RATE.key)
    settings = list(islice(_settings(candidates, model, training), MOST))
    others = _families(candidates, model)
    length = None if kind.length is None else _other_length(kind.length, model, training)
    if not settings and not others and length is None:
        others = _families([family(name) for name in kind.families], model)[:1]
    parts = [f"set {_alternatives(settings)}"] if settings else []
    if length is not None:  # comes first where the training was a short one
        parts.insert(0 if training.planned < training.preferred else len(parts), length)
    parts += [f"use {_alternatives(others)}"] if others else []
    return ", or ".join(parts)


def _alternatives(texts: Sequence[str]) -> str:
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _rate_is_unusual(training: Training) -> bool:
    """Whether the rate is far above the one that the model prefers: then it is the first thing to change."""
    usual, rate = _preferred_rate(training.config), training.config["optimizer"].get("lr")
    return usual is not None and rate is not None and rate > 3 * usual


def _preferred_rate(config: Mapping[str, Any]) -> float | None:
    optimizer = str(config["optimizer"].get("_target_")).rpartition(".")[2]
    rate: float | None = config.get("preferred", {}).get("lr", {}).get(optimizer)
    return rate


def _settings(candidates: Iterable[Candidate], model: Model, training: Training) -> Iterator[str]:
    """Of each candidate that the model can take, the key with its new value, as typed, and the present one."""
    config = training.config
    for candidate in candidates:
        if candidate.key == "model":  # another family
            continue
        known, now = _present(candidate.key, model, config)
        if not known or any(_present(key, model, config)[1] != value for key, value in candidate.where.items()):
            continue
        usual = _preferred_rate(config) if candidate.key == RATE.key else None
        wanted = usual if usual is not None and now > usual else candidate.change(now)
        if wanted is None or wanted == now:
            continue
        if wanted is UNKNOWN:
            yield f"{candidate.direction} {candidate.key}"
        elif _accepted(candidate.key, wanted, model, config):
            yield f"{shlex.quote(f'{candidate.key}={_typed(wanted)}')} (is {_typed(now)})"


def _families(candidates: Iterable[Candidate], model: Model) -> list[str]:
    """The other families among the candidates that can model such data, as typed."""
    own = family_of(type(model).__name__)
    names = [candidate.change(own) for candidate in candidates if candidate.key == "model"]
    classes = {family_of(name): name for name in models.FAMILIES}
    return [f"model={n}" for n in names if n and model.data.support in getattr(models, classes[n]).supports]


def _present(key: str, model: Model, config: Mapping[str, Any]) -> tuple[bool, Any]:
    """Whether the run has this key, and the value that acts: where null is set, that which the model chose, if it keeps it."""
    section, _, name = key.rpartition(".")
    values = config.get(section) if section else config
    if not isinstance(values, Mapping) or (section == "optimizer" and model.closed_form):
        return False, None
    value = values.get(name)
    if value is None and section == "model":
        chosen = getattr(model, name, None)
        value = chosen if isinstance(chosen, int | float | str | list) else None
    return name in values or (section == "model" and name in keys_of(type(model))), value


def _accepted(key: str, value: Any, model: Model, config: Mapping[str, Any]) -> bool:
    """Whether the model can be made with this value: its constructor is asked, because keys may exclude each other."""
    section, _, name = key.rpartition(".")
    if section not in ("model", "optimizer"):
        return True
    changed = {**config, section: {**config[section], name: value}}
    try:
        algorithm = locate(changed["optimizer"].get("_target_"), "optimizer")
        own, shared = check(changed["optimizer"], "optimizer", algorithm, Recipe)
        recipe = Recipe(create=algorithm(**own), **shared)
        with rng.seeded(0, "remedy", device=model.device):
            build(changed["model"], "model", data=model.data, optimizer=recipe)
    except GenlabError:
        return False
    return True


def _other_length(direction: Literal["longer", "shorter"], model: Model, training: Training) -> str | None:
    """Twice or half the length, in the unit in which it is set; of a short training the preferred one."""
    if model.closed_form:
        return None
    planned = training.planned
    wanted = planned // 2 if direction == "shorter" else max(2 * planned, training.preferred)
    section, epochs = training.config["train"], training.config["train"].get("epochs")
    if epochs is not None:
        wanted = max(1, round(epochs * wanted / planned))
        if wanted == epochs:
            return None
    elif wanted < section.get("batch_size", 1):
        return None
    words = "for less long" if direction == "shorter" else "for longer"
    return f"train {words} (train.{'examples' if epochs is None else 'epochs'}={wanted})"


def _typed(value: Any) -> str:
    """As a value is typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return "[" + ",".join(map(_typed, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
