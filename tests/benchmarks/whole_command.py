"""Whole commands as a user waits for them, from the start of a process to its end: one epoch of 55,000 MNIST images.

genlab train with the defaults of a model, beside a program that a user would otherwise write (scripts/): the same layers and
batches. Both load the data, train, measure the 10,000 test images and save the parameters. genlab also sets 5,000 images aside
and measures them, keeps records and TensorBoard's files, and makes pictures; the program for the VAE writes a picture of samples
too. Every process has as many threads, and how long these wait for each other is left to it.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genlab.data.sources.mnist import mnist
from genlab.numerics.waiting import KEY
from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.vae import for_torchvision

EPOCH = 55_000
SCRIPTS = Path(__file__).parent / "scripts"

PAIRS = {"vae": "script", "classifier": "script, classifier", "rbm": "scikit-learn, rbm"}
"""Model -> row of the program without genlab."""

ABOUT = {
    "genlab": "genlab train model=vae dataset=mnist",
    "script": "torchvision, the loop of the tutorials, a picture of samples",
    "genlab, classifier": "genlab train model=classifier dataset=mnist",
    "script, classifier": "torchvision, the loop of the tutorials",
    "genlab, rbm": "genlab train model=rbm dataset=mnist",
    "scikit-learn, rbm": "BernoulliRBM on numpy",
    "imports": "python -c 'import torch, torchvision' and nothing else",
}


def contest(options: Options) -> Contest:
    root = os.environ.get("GENLAB_DATA")
    mnist(root=root)  # there before the first command, and unpacked
    loops: dict[str, Any] = {}
    for model, script in PAIRS.items():
        row = ours(model)
        loops[row] = partial(genlab, row, model)
        loops[script] = partial(program, script, SCRIPTS / f"{model}.py", root)
    loops["imports"] = imports
    return Contest(
        title="whole commands: an epoch of MNIST",
        images=EPOCH,
        loops=loops,
        about=ABOUT,
        shares={f"{script}: longer than '{ours(model)}' by": (script, ours(model)) for model, script in PAIRS.items()},
        together=True,
    )


def ours(model: str) -> str:
    """Its row: the first model is what all others are held against."""
    return "genlab" if model == next(iter(PAIRS)) else f"genlab, {model}"


def waited_for(*arguments: str) -> float:
    """Seconds of `python ARGUMENTS` in an empty folder."""
    threads = str(torch.get_num_threads())
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    del environment[KEY]  # which this process has set for its own loops
    if data := environment.get("GENLAB_DATA"):
        environment["GENLAB_DATA"] = str(Path(data).resolve())
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    return seconds


def genlab(row: str, model: str, images: int) -> Seconds:
    words = [f"model={model}", "dataset=mnist", f"train.examples={images}", "device=cpu"]
    return {row: waited_for("-m", "genlab", "train", *words, f"device.threads={torch.get_num_threads()}")}


def program(row: str, script: Path, root: str | None, images: int) -> Seconds:
    return {row: waited_for(str(script), for_torchvision(root).name, str(images))}


def imports(images: int) -> Seconds:
    return {"imports": waited_for("-c", "import torch, torchvision")}
