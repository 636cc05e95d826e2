"""Every family is evaluated and sampled on a fake device (tests/helpers/fake_device.py), as on a GPU but without one."""

import subprocess
import sys
from pathlib import Path

import pytest

from genlab.models.base import GenerativeModel
from tests.helpers.processes import REPOSITORY, environment, succeed
from tests.helpers.support import MODELS
from tests.models.test_contract import build_class


def on_fake_device(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.helpers.fake_device", *arguments],
        cwd=folder,
        env=environment(PYTHONPATH=str(REPOSITORY)),
        text=True,
        capture_output=True,
        check=False,
    )


def test_tensors_of_two_devices_do_not_mix(tmp_path: Path) -> None:
    mixed = """
import torch
from tests.helpers.fake_device import FAKE, FakeDeviceMode, install
install()
with FakeDeviceMode():
    layer = torch.nn.Linear(3, 2).to(FAKE)
    x = torch.ones(4, 3, device=FAKE)
    layer(x).sum().backward()
    assert layer.weight.grad.device == FAKE and x[torch.arange(2)].shape == (2, 3)
    assert type(x.cpu()) is torch.Tensor
    for fault in (lambda: layer(torch.ones(4, 3)), lambda: x.index_select(0, torch.arange(2)), lambda: x.cpu()[x[0].long()]):
        try:
            fault()
        except RuntimeError as error:
            assert "mixes" in str(error)
        else:
            raise AssertionError("not noticed")
"""
    outcome = subprocess.run(
        [sys.executable, "-c", mixed], cwd=REPOSITORY, env=environment(), text=True, capture_output=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr


def test_a_captured_update_needs_nothing_from_the_cpu(tmp_path: Path) -> None:
    """One update of every model that test_gpu.py compares with its loop. What does need the CPU is noticed."""
    captured = """
from genlab.models.diffusion.flow_matching import FlowMatching
from tests.helpers.fake_device import FakeDeviceMode, capture, install
from tests.training.test_gpu import TEMPERED, VARIANTS
install()
with FakeDeviceMode():
    found = {words: capture(words) for words in VARIANTS}
    assert [words for words, could in found.items() if could is None] == ["model=pca", TEMPERED], found
    assert all(could is not False for could in found.values()), found
    FlowMatching.replayable = True
    assert capture("model=flow_matching model.coupling=ot") is False
"""
    outcome = subprocess.run(
        [sys.executable, "-c", captured], cwd=REPOSITORY, env=environment(), text=True, capture_output=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_on_another_device_is_evaluated_and_sampled(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeed(["train", f"model={name}", "train.examples=2000", f"hydra.run.dir={run}"], tmp_path)
    commands = [["evaluate", f"run={run}", "n=100", "ais.temperatures=50", "ais.sweeps=10"]]
    if issubclass(build_class(name), GenerativeModel):
        commands.append(["sample", f"run={run}"])
    for command in commands:
        outcome = on_fake_device(command, tmp_path)
        assert outcome.returncode == 0, outcome.stderr
