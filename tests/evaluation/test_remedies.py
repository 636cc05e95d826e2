"""Remedies fit: they name keys which that model has, values which it takes, and none that is set already."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from genlab.config.schema import keys_of
from genlab.evaluation.diagnoses import Diagnosis, Name
from genlab.evaluation.remedies import KINDS, Training, remedy, too_early, verdict
from genlab.experiment.experiment import Experiment
from genlab.models.base import Model
from genlab.models.candidates import choose, fewer, higher, lower
from genlab.tracking.run_folder import RunFolder
from tests.helpers.support import BRISK, CPU, MODELS, configure, start

NAMES: tuple[Name, ...] = get_args(Name)


PARSER = OverridesParser.create()


def situation(*overrides: str, seen: float = 1.0) -> tuple[Model, Training]:
    """The untrained model of a configuration, and a training that has seen so much of the length that it prefers."""
    return after(configure("dataset=digits", *overrides), seen)


def after(config: dict[str, Any], seen: float = 1.0) -> tuple[Model, Training]:
    described = Experiment(config, CPU)
    preferred = described.preferred_examples
    beside = {"ais": {"temperatures": 1000}, "checkpoint": "last"}
    return described.model, Training({**config, **beside}, int(seen * preferred), described.examples, preferred)


def settings(text: str) -> dict[str, Any]:
    """Key -> value of everything in a remedy that can be typed, as the command line reads it."""
    words = [shlex.split(word)[0] for word in re.findall(r"'[\w.]+=[^']+'|[\w.]+=[^\s,)]+", text)]
    return {override.key_or_group: override.value() for override in PARSER.parse_overrides(words)}


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    section, _, name = key.rpartition(".")
    assert name in config[section], f"{key} is no key of this run"
    assert config[section][name] != value, f"{key}={value} is set already"
    return {**config, section: {**config[section], name: value}}


def without_commands(config: dict[str, Any]) -> dict[str, Any]:
    """Of all keys those of `genlab train`."""
    return {key: value for key, value in config.items() if key not in ("ais", "checkpoint")}


@pytest.mark.parametrize("family", MODELS)
def test_every_remedy_fits_every_family(family: str) -> None:
    """Of each remedy everything is tried alone, and the first change is kept for what the remedy says next."""
    model, training = situation(f"model={family}", *BRISK.get(family, ()))
    for name in NAMES:
        now, config = training, dict(training.config)
        for _ in range(3):
            text = remedy(name, model, now)
            found = settings(text)
            assert found or "a smaller" in text, f"{name} of model={family}: {text!r} is no remedy"
            assert found.get("model") != family, text
            assert not model.closed_form or not any(key.startswith(("optimizer.", "train.")) for key in found), text
            for key in re.findall(r"(?:a smaller|a larger|fewer|another) model\.(\w+)", text):
                assert key in keys_of(type(model)), text
            changes = [(key, value) for key, value in found.items() if key.startswith(("model.", "optimizer."))]
            for key, value in changes:
                Experiment(without_commands(changed(config, key, value)), CPU).untrained(
                    model.data
                )  # raises for what does not fit
            if not changes:
                break
            config = changed(config, *changes[0])
            now = replace(training, config=config)


def test_all_diagnoses_have_their_kind_and_families_name_no_others() -> None:
    assert set(KINDS) == set(NAMES)
    for family in MODELS:
        model, _ = situation(f"model={family}", *BRISK.get(family, ()))
        assert set(model.remedies) <= set(NAMES)
        for candidates in model.remedies.values():
            own = {c.key.removeprefix("model.") for c in candidates if c.key.startswith("model.")}
            assert own <= set(keys_of(type(model))), f"model={family} names keys that it does not have"


def test_what_is_set_already_is_not_proposed() -> None:
    model, training = situation("model=vae", "model.beta=1000", "model.kl_warmup=0.5", "model.free_bits=0.2")
    text = remedy("posterior collapse", model, training)
    assert settings(text) == {"model.beta": 1, "model.latent_dim": 10, "train.examples": 1_200_000}
    assert "model.beta=1 (is 1000)" in text
    assert "model.latent_dim=10 (is 20)" in text, "what null stands for is known"


def test_keys_that_exclude_each_other_are_not_proposed_together() -> None:
    """The importance-weighted bound has no KL term."""
    model, training = situation("model=vae", "model.k=5")
    assert settings(remedy("posterior collapse", model, training)).keys() == {"model.latent_dim", "train.examples"}


def test_a_key_that_does_not_act_is_not_proposed() -> None:
    model, training = situation("model=ebm", "model.objective=denoising")
    assert not [key for key in settings(remedy("mode collapse", model, training)) if key.startswith("model.")]


def test_a_rate_far_from_the_usual_one_is_changed_first() -> None:
    model, training = situation("model=gan", "optimizer.lr=5")
    text = remedy("the discriminator has won", model, training)
    assert text.startswith("set optimizer.lr=0.0005 (is 5)"), text
    assert text.endswith("or use model=wgan")
    model, training = situation("model=gan")
    assert remedy("the discriminator has won", model, training).startswith("set model.instance_noise=0.1 (is 0)")


def test_the_vanishing_gradient_of_minimax_has_a_cure_of_its_own() -> None:
    model, training = situation("model=gan", "model.game=minimax", "model.critic_steps=5")
    text = remedy("the discriminator has won", model, training)
    assert list(settings(text))[:2] == ["model.game", "model.critic_steps"]


def test_a_short_training_is_told_the_preferred_length_first() -> None:
    model, training = situation("model=vae", "train.epochs=200")
    text = remedy("mode collapse", model, training)
    assert text.startswith("train for longer (train.epochs=464)"), text  # of 1,294 examples, for 600,000
    model, training = situation("model=vae")
    assert "train.examples=1200000" in remedy("mode collapse", model, training)
    assert "train.examples=300000" in remedy("memorisation", model, training)


def test_a_closed_form_is_told_another_family() -> None:
    model, training = situation("model=pca", "model.latent_dim=64")
    assert remedy("missing classes", model, training) == "use model=vae"


def test_no_verdict_before_a_share_of_the_preferred_length() -> None:
    found = [Diagnosis(name, "evidence") for name in NAMES]
    model, training = situation("model=vae", seen=0.01)
    early = verdict(found, model, training)
    assert {d.name for d in early} == {"non-finite values", "log Z is uncertain", "divergence", "energies run away"}
    assert too_early(model, training) == (
        "no verdict yet on what it has learned: model=vae has seen 6,000 of the 600,000 examples that it prefers, "
        "and is judged from 180,000 on"
    )
    model, training = situation("model=vae", seen=0.31)
    assert [d.name for d in verdict(found, model, training)] == list(NAMES)
    assert all(d.remedy for d in verdict(found, model, training))
    assert too_early(model, training) is None
    assert verdict(found, model, None) == found, "of samples from elsewhere"


def test_changes_go_in_their_direction() -> None:
    assert lower("optimizer.clip", to=1.0).change(None) == 1.0
    assert lower("optimizer.clip", to=1.0).change(0.5) is None
    assert lower("optimizer.lr", 0.3).change(0.002) == 0.0006
    assert lower("model.levels", 0.5).change([32, 1]) == [16, 1]
    assert lower("model.beta", 0.5, to=1.0).change(0.4) == 0.2
    assert higher("model.kl_warmup", to=0.5).change(0.0) == 0.5
    assert higher("model.kl_warmup", to=0.5).change(0.8) is None
    assert fewer("model.levels").change([32]) is None
    assert choose("model.game", "nonsaturating").change("nonsaturating") is None


def test_the_random_stream_of_the_training_is_left_as_it_is() -> None:
    model, training = situation("model=gan")
    before = torch.get_rng_state()
    remedy("the discriminator has won", model, training)
    assert torch.equal(before, torch.get_rng_state())


def lost_game(run: Path, *overrides: str) -> RunFolder:
    """A game with a rate at which the discriminator is right of everything, and the generator's gradient is 0."""
    keys = ("model=gan", "optimizer.lr=5", "train.examples=3000", "train.log_every=128", "train.batch_size=64")
    start(run, configure(*keys, *overrides)).fit()
    return RunFolder(run)


def test_a_generator_that_has_lost_is_told_while_it_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warnings = {w["name"]: w for w in lost_game(tmp_path).info()["warnings"]}
    won = warnings["the discriminator has won"]
    assert 0.05 * 3000 < won["examples"] < 0.6 * 3000
    assert "D(x) = 1.0000 on data and D(G(h)) = 0.0000" in won["evidence"]
    assert "optimizer.lr=0.0005 (is 5)" in won["remedy"]
    assert capsys.readouterr().out.count("the discriminator has won") == 1


def test_a_discriminator_that_is_ahead_for_a_while_has_not_won(tmp_path: Path) -> None:
    trainer = start(tmp_path, configure("model=gan", "train.examples=10000"))
    ahead = {"train/d_real": 0.97, "train/d_fake": 0.05}
    for seen, values in (
        (1000, ahead),
        (1400, ahead),
        (1500, {"train/d_real": 0.7, "train/d_fake": 0.3}),
        (1600, ahead),
    ):
        trainer.batches.seen = seen
        trainer.warnings.of_scalars(values, trainer.training)
    assert trainer.warnings.noted == {}
    trainer.batches.seen = 2100
    trainer.warnings.of_scalars(ahead, trainer.training)
    assert list(trainer.warnings.noted) == ["the discriminator has won"]
