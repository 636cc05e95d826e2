"""Updates that are shared out, to two processes or to two turns, are those of the whole batch: in float64, to 1e-9."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.processes import REPOSITORY, environment
from tests.helpers.shared_updates import VARIANTS, doubles, state_after
from tests.helpers.support import MODELS
from tests.helpers.whole_draws import largest_difference

FAST = ("vae", "rbm", "gan", "ebm", "sgan", "vqvae", "pca")
MORE = [name for name in VARIANTS if name not in FAST]
EXACT = 1e-9
COUPLED = {  # why an update is no sum over parts of its batch
    "gan": "turns",
    "wgan": "turns",
    "sgan": "turns",
    "vqvae": "turns",
    "rbm": "chains",
    "gaussian_rbm": "chains",
    "ebm": "chains",
    "flow": "first batch",
    "pca": "closed form",
    "classifier": "normalisation",
    "classifier-cnn": "normalisation",
    "vae-free-bits": "whole batch",
    "vae-capacity": "whole batch",
    "diffusion-learned": "whole batch",
    "flow_matching-ot": "whole batch",
    "ae-lbfgs": "several times",
}


def run_processes(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """States of the models after the updates of one process, and after those of each of two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "tests.helpers.shared_updates", str(folder), *names]
    apart = [environment(), *(rank_of_two(rank, port) for rank in (0, 1))]
    started = [subprocess.Popen(command, cwd=REPOSITORY, env=env, stderr=subprocess.PIPE, text=True) for env in apart]
    for process in started:
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    return [torch.load(folder / name, weights_only=True) for name in ("1_0.pt", "2_0.pt", "2_1.pt")]


def rank_of_two(rank: int, port: str) -> dict[str, str]:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return environment(RANK=str(rank), WORLD_SIZE="2", **meeting)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def of(names: tuple[str, ...]) -> list[dict[str, Any]]:
        return run_processes(tmp_path_factory.mktemp("shared"), names)

    return of


def assert_shared_alike(name: str, found: list[dict[str, Any]]) -> None:
    alone, first, second = (states[name] for states in found)
    if name == "pca":
        assert alone == first == second
        assert "device.processes=2: model=pca is fitted in closed form" in alone
        return
    assert largest_difference(alone, first) < EXACT
    assert largest_difference(first, second) == 0, "all processes have the same model"


@pytest.mark.parametrize("name", FAST)
def test_two_processes_make_the_updates_of_one(name: str, states: Any) -> None:
    assert_shared_alike(name, states(tuple(FAST)))


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_every_variant_of_a_family_is_shared_out(name: str, states: Any) -> None:
    assert_shared_alike(name, states(tuple(MORE)))


def assert_parts_alike(name: str) -> None:
    with doubles():
        parts = state_after(*VARIANTS[name], None, turns=2)
        if isinstance(parts, str):
            reason = COUPLED.get(name) or COUPLED[name.partition("-")[0]]
            assert "train.accumulate=2" in parts
            assert reason in parts
            return
        assert name not in COUPLED
        whole = state_after(*VARIANTS[name], None)
    assert isinstance(whole, dict)
    for state in (
        whole,
        parts,
    ):  # kept codes of examples lie in another order, those of clean ones come from turn to turn
        if (ring := state.pop("code_density.ring", None)) is not None and name == "ae":
            state["code_density.ring"] = ring.sort(0).values
    assert largest_difference(whole, parts) < EXACT


@pytest.mark.parametrize("name", MODELS)
def test_two_turns_make_the_update_of_the_whole_batch(name: str) -> None:
    assert_parts_alike(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in MODELS])
def test_every_variant_goes_through_its_batch_in_turns(name: str) -> None:
    assert_parts_alike(name)
