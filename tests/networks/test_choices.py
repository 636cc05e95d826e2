"""What stands for auto and null is noted, and goes with an exported model."""

import pytest

from genlab.experiment.experiment import Experiment
from genlab.networks.choices import choices_of
from tests.helpers.support import MODELS, configure

MEANT: dict[tuple[str, str], dict[str, object]] = {
    ("autoregressive", "digits"): {"network": "pixelcnn", "likelihood": "bernoulli", "patch": 2},
    ("autoregressive", "gaussian"): {"network": "made", "likelihood": "gaussian_mixture"},
    ("flow", "digits"): {"layers": "multiscale", "scales": 2, "mixing": "lu"},
    ("flow", "gaussian"): {"layers": "coupling", "transform": "spline", "depth": 6},
    ("diffusion", "gaussian"): {"network": "mlp", "depth": 4},
    ("pca", "digits"): {"method": "exact"},
}


@pytest.mark.parametrize("name", MODELS)
def test_no_family_leaves_open_what_auto_is(name: str) -> None:
    experiment = Experiment(configure(f"model={name}", "dataset=digits"))
    choices = choices_of(experiment.model)
    open_keys = [key for key, value in experiment.config["model"].items() if value == "auto"]
    assert set(open_keys) <= set(choices)
    assert "auto" not in choices.values()


@pytest.mark.parametrize(("model", "dataset"), MEANT)
def test_the_choice_is_the_one_that_was_made(model: str, dataset: str) -> None:
    found = choices_of(Experiment(configure(f"model={model}", f"dataset={dataset}")).model)
    assert MEANT[model, dataset].items() <= found.items()


def test_what_the_user_says_is_what_is_noted() -> None:
    found = choices_of(Experiment(configure("model=vae", "dataset=digits", "model.network=conv")).model)
    assert found["network"] == "conv"
