"""What the updates between two records yielded, averaged over all processes: the same wherever a checkpoint falls."""

import copy

import pytest
import torch

from genlab.numerics import ranks
from genlab.training.updates import Updates
from tests.helpers.support import configure, experiment_of, small_data


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> Updates:
    """Those of the first of three processes; the others find 1.1 and 1.3 times its values."""
    monkeypatch.setattr(ranks, "world", lambda: 3)
    monkeypatch.setattr(ranks, "add_up", lambda values: values + 1.1 * values + 1.3 * values)
    dataset = small_data("grey")
    experiment = experiment_of(configure("model=vae", "device=cpu"), dataset)
    return Updates(experiment.model, dataset, experiment.train, experiment.device, 960, 0)


def fill(updates: Updates, first: int, last: int) -> None:
    for k in range(first, last):
        updates.window.append({"loss": torch.tensor(27.19 + 0.013 * k**2), "kl": torch.tensor(0.02 + 0.001 * k)})


@pytest.mark.parametrize("at", [1, 4, 9])
def test_a_checkpoint_between_two_records_changes_no_digit(updates: Updates, at: int) -> None:
    fill(updates, 0, 10)
    undisturbed = updates.means()

    fill(updates, 0, at)
    updates.collect(saves=True)
    kept = copy.deepcopy({**updates.state_dict(), "model": updates.model.state_dict()})
    updates.window.clear()
    updates.load_state_dict(kept)
    fill(updates, at, 10)
    assert updates.means() == undisturbed


def test_the_mean_is_that_of_all_processes(updates: Updates) -> None:
    fill(updates, 0, 10)
    alone = torch.stack([values["loss"] for values in updates.window]).double().mean() * (1 + 1.1 + 1.3) / 3
    assert updates.means()["loss"] == pytest.approx(float(alone), rel=1e-6)
    assert updates.window == []
