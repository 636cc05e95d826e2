"""The part that train and resume share: run the loop, and say at its end what happened and what lies where."""

import contextlib
import platform
import sys
from typing import Any

import torch

from genlab.commands.explain import explain_os_error
from genlab.data.dataset import Dataset
from genlab.errors import GenlabError, InterruptedRun
from genlab.experiment.experiment import Parts
from genlab.inference.pictures import COLUMNS
from genlab.inference.sampling import draw, sampling_options
from genlab.models.abilities import HasRemarks, Reconstructs
from genlab.models.base import GenerativeModel, Model
from genlab.numerics.rng import derive
from genlab.tracking.console import console, preview, summary
from genlab.tracking.run_folder import RunFolder, State
from genlab.training.trainer import Loop


def fit(run: RunFolder, config: dict[str, Any], parts: Parts, dataset: Dataset, model: Model) -> float:
    """Train from the run's last checkpoint (or from the start) to the end; returns the best validation loss."""
    parts.device.place(model)
    torch.manual_seed(derive(config["seed"], "training"))
    with run.locked():
        # A refusal here (another configuration, a damaged checkpoint) leaves the run as it is.
        loop = Loop(model, dataset, parts.training, parts.device, run, config, parts.length(dataset))
        try:
            run.note(state="running", error=None)
            _announce(run, model, dataset, loop)
            results = loop.fit()
        except BaseException as error:
            failure = _describe_write_error(error, run)
            state: State = "interrupted" if isinstance(error, InterruptedRun | KeyboardInterrupt) else "failed"
            with contextlib.suppress(OSError):  # on a full disk what matters is said on the console
                run.end(state, error=str(failure))
            if failure is error:
                raise
            raise failure from None
        run.end(
            "finished",
            results={name: {"value": value, "stderr": stderr} for name, (value, stderr) in results.items()},
            cost=_cost(loop, model),
        )
    _show(run, model, dataset, loop, results)
    return loop.best if loop.best < float("inf") else results.get("test/loss", (float("nan"), 0.0))[0]


def _announce(run: RunFolder, model: Model, dataset: Dataset, loop: Loop) -> None:
    parameters = model.size
    data = dataset.spec
    size = "x".join(map(str, data.shape))
    run.note(device={"name": loop.where.type, "hardware": _hardware(loop.where), "threads": torch.get_num_threads()})
    console.print(
        f"{type(model).__name__} with {parameters:,} parameters on {data.name}: {len(dataset.train):,} examples of {size}, "
        f"{data.support}; {loop.batches.examples:,} examples to see on {loop.where.type}"
        + (f", going on at {loop.batches.seen:,}" if loop.batches.seen else "")
    )
    if warning := loop.device.warning():
        console.print(f"warning: {warning}", style="yellow", markup=False)


def _describe_write_error(error: BaseException, run: RunFolder) -> BaseException:
    if not isinstance(error, OSError) or explain_os_error(error) is None:
        return error
    kept = (
        f"the last checkpoint is whole: make room and run genlab resume {run.path}"
        if run.last.exists()
        else "no checkpoint yet"
    )
    return GenlabError(
        f"the run stopped because {error.filename or run.path} cannot be written ({error.strerror or error}); {kept}"
    )


def _cost(loop: Loop, model: Model) -> dict[str, float | int]:
    seconds = loop.elapsed()
    cost: dict[str, float | int] = {
        "seconds": round(seconds, 2),
        "examples": loop.batches.seen,
        "parameters": model.size,
    }
    if sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in kilobytes on Linux, in bytes on macOS
        cost["peak_memory_mb"] = round(peak / (2**20 if sys.platform == "darwin" else 2**10))
    if loop.where.type == "cuda":
        cost["peak_device_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return cost


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _show(run: RunFolder, model: Model, dataset: Dataset, loop: Loop, results: dict[str, tuple[float, float]]) -> None:
    data = dataset.spec
    if data.is_image and data.shape[0] == 1 and max(data.shape) <= 16 and isinstance(model, GenerativeModel):
        console.print("samples:")
        console.print(preview(draw(model, COLUMNS, loop.seed, **sampling_options(model, dataset, {})), COLUMNS))
    pictures = sorted(path.name for path in run.samples.glob("*.png") if not path.stem[-10:].isdigit())
    able = isinstance(model, GenerativeModel | Reconstructs)
    then = f"genlab sample run={run.path}   |   " if able else ""
    facts = {
        "time": f"{loop.elapsed():,.1f} s for {loop.batches.seen:,} examples",
        "run folder": str(run.path),
        "pictures": ", ".join(str(run.samples / name) for name in pictures),
        "next": f"genlab dashboard {run.path.parent}   |   {then}genlab evaluate run={run.path}",
    }
    if loop.validation_loss > loop.best + 3 * results.get("test/loss", (0.0, 0.0))[1]:
        facts["overfitting"] = (
            f"validation loss was {loop.best:.4g} at {loop.best_at:,} examples and is {loop.validation_loss:.4g} now: "
            "train for less long, or take that state with checkpoint=best"
        )
    if isinstance(model, HasRemarks) and (remarks := model.remarks()):
        facts["remark"] = "; ".join(remarks)
    summary(
        f"{type(model).__name__} on {data.name}: test split, {len(dataset.test):,} examples",
        {name.removeprefix("test/"): value for name, value in results.items()},
        facts,
    )
