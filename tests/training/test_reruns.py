"""What a second run of one configuration gives, as run.json and the console say it (training/devices.py)."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batches
from genlab.experiment.experiment import Experiment
from genlab.models.base import Metrics
from genlab.training.devices import Device, Precision
from tests.helpers.processes import call, info, same
from tests.helpers.support import configure, state_of
from tests.training.test_kills import campaign

SHORT = [
    "model=vae",
    "model.hidden=[16]",
    "train.examples=640",
    "train.batch_size=32",
    "train.log_every=100",
    "device=cpu",
]


def updates(words: str, seed: int = 0) -> tuple[list[Metrics], dict[str, Tensor]]:
    """What 15 updates yield, and the state of model and optimizers after them."""
    config = configure(*words.split(), "device=cpu", "train.batch_size=32", f"seed={seed}")
    experiment = Experiment(config)
    experiment.build()
    experiment.begin_training()
    batches = Batches(
        experiment.dataset.train,
        experiment.dataset.represent,
        batch_size=32,
        examples=480,
        seed=seed,
        device=torch.device("cpu"),
    )
    found: list[Metrics] = []
    loop = experiment.model.train_loop(batches)
    while True:
        with experiment.device.autocast():
            metrics = next(loop, None)
        if metrics is None:
            return found, state_of(experiment.model)
        found.append(metrics)


@pytest.mark.parametrize(
    "words",
    [
        "model=vae model.hidden=[256] device.threads=2",
        "model=vae model.hidden=[16] device.precision=bf16 device.threads=1",
        "model=rbm device.threads=2",
        "model=ebm model.hidden=[64] model.k=3 model.buffer=100 device.threads=2",
        "model=classifier model.hidden=[8,16] device.threads=1",
        "model=diffusion model.network=mlp model.hidden=[64] device.threads=1",
    ],
)
def test_reruns_on_the_processor_are_bit_identical(words: str) -> None:
    """By two threads too, where a sum without an order of its own would be found. Another seed shows that it can fail."""
    metrics, state = updates(words)
    again, state_again = updates(words)
    assert same(metrics, again)
    assert same(state, state_again)
    assert not same(metrics, updates(words, seed=1)[0])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "tf32"])
def test_reruns_on_a_gpu_are_statistically_equal(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    device = Device(name="cuda", precision=precision, compile=False, threads=None, processes=1)
    assert device.reruns() == "statistically equal"


def test_a_run_says_what_a_rerun_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    outcome = call(["train", *SHORT, "device.threads=1", f"hydra.run.dir={run}"], capsys)
    assert outcome.code == 0, outcome.err
    assert "examples to see on cpu, where reruns are bit-identical" in " ".join(outcome.out.split())
    device = info(run)["device"]
    assert (device["reruns"], device["threads"], device["precision"], device["compile"]) == (
        "bit-identical",
        1,
        "fp32",
        False,
    )
    # Resumed after a session with other threads: no single rerun repeats both.
    (run / "run.json").write_text(json.dumps({**info(run), "state": "interrupted", "device": {**device, "threads": 2}}))
    for _ in range(2):  # nor does a third session make it one
        outcome = call(["resume", str(run)], capsys)
        assert outcome.code == 0, outcome.err
        assert info(run)["device"]["reruns"] == "statistically equal"
        (run / "run.json").write_text(json.dumps({**info(run), "state": "interrupted"}))


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--set", "device.threads=2"], ["vae-compiled", "diffusion-compiled"]])
def test_every_variant_is_rerun_by_two_threads_and_compiled(words: list[str]) -> None:
    assert campaign(*words, "--kills", "0").endswith("0 runs differ")
