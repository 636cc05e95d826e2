"""One session of a training, as `genlab train` and `genlab resume` share it: train to the end, then report."""

import contextlib
import platform
from collections.abc import Callable

import torch

from genlab.composition.explain import explain_os_error
from genlab.config.targets import words_that_allow
from genlab.data.measure_spec import warnings_of
from genlab.data.repeated_values import warning_of_repeated_values
from genlab.errors import GenlabError, InterruptedRun
from genlab.evaluation.remedies import too_early
from genlab.experiment.experiment import Experiment
from genlab.inference.shown_examples import COLUMNS
from genlab.models.abilities import HasRemarks, Reconstructs
from genlab.models.base import GenerativeModel
from genlab.numerics.memory import peak_memory_mb
from genlab.plots.captions import caption, write_captions
from genlab.plots.images import save_png
from genlab.plots.learning_curves import learning_curves
from genlab.report.sweep_curves import read_records
from genlab.tracking.console import console, preview, summary
from genlab.tracking.next_steps import below_each_other, to_type
from genlab.tracking.run_folder import RunFolder, State
from genlab.tracking.sweep_folder import sweep_of
from genlab.tracking.which_run import shortest_name
from genlab.training.budget import remark
from genlab.training.trainer import Trainer


def train_to_the_end(
    experiment: Experiment, run: RunFolder, shell: bool = True, watch: Callable[[Trainer], None] | None = None
) -> float:
    """Train from the last checkpoint of `run`, or from the start, to the end; returns the best validation loss.

    In a `shell` the report ends with the commands to type next. `watch` is given the trainer before it starts.

    What happened is noted in run.json. Raises InterruptedRun where a signal stopped the run, GenlabError where the training
    diverges or the folder cannot be written.
    """
    with run.training():
        # Another configuration or a damaged checkpoint is refused here, and leaves the run as it is.
        trainer = experiment.trainer(run)
        try:
            run.begin()
            _tell_sweep(run)
            if watch is not None:
                watch(trainer)
            _announce(trainer)
            results = trainer.fit()
            draw_learning_curves(trainer)
        except BaseException as error:
            failure = _describe_write_error(error, run)
            state: State = "interrupted" if isinstance(error, InterruptedRun | KeyboardInterrupt) else "failed"
            with contextlib.suppress(OSError):  # on a full disk the message on the console is what counts
                run.end(state, error=str(failure), resumable=failure is not error and run.last.exists())
                _tell_sweep(run)
            if failure is error:
                raise
            raise failure from None
        run.end(
            "finished",
            test_examples=len(trainer.test),
            results={name: {"value": value, "stderr": stderr} for name, (value, stderr) in results.items()},
            cost=_cost(trainer),
            validation_loss=trainer.best if trainer.best < float("inf") else None,
        )
    _tell_sweep(run)
    _report(trainer, results, shell)
    return trainer.best if trainer.best < float("inf") else results.get("test/loss", (float("nan"), 0.0))[0]


def _tell_sweep(run: RunFolder) -> None:
    """Note in sweep.json how far this job is, where it is one."""
    if (sweep := sweep_of(run.path)) is not None:
        sweep.refresh_job(run.path)


def draw_learning_curves(trainer: Trainer) -> None:
    """samples/learning_curves.png from all records of the run, and the captions of its pictures."""
    run, charts = trainer.run, trainer.model.layout()
    records = read_records(run.metrics)
    picture = learning_curves(records, charts)
    if picture is not None:
        save_png(run.samples / "learning_curves.png", picture)
    said = "\n".join(f"- {title}: {chart.caption}" for title, chart in charts.items())
    write_captions(run.samples, {"learning_curves": f"{caption('learning_curves')}\n\n{said}"})


def _announce(trainer: Trainer) -> None:
    """Say what is trained on what, and note in run.json the device, and what a rerun would give."""
    model, dataset, where = trainer.model, trainer.dataset, trainer.where
    size = "x".join(map(str, dataset.spec.shape))
    device: dict[str, object] = {
        "name": where.type,
        "hardware": _hardware(where),
        "threads": torch.get_num_threads(),
        "precision": trainer.device.precision,
        "compile": trainer.device.compile,
    }
    device["reruns"] = reruns = trainer.device.reruns()
    earlier = trainer.run.info().get("device", device)  # that of the session before, where the run is resumed
    if not isinstance(earlier, dict) or any(earlier.get(key, value) != value for key, value in device.items()):
        device["reruns"] = reruns = "statistically equal"
    trainer.run.note(device=device)
    console.print(
        f"{type(model).__name__} with {model.size:,} parameters on {dataset.spec.name}: {len(dataset.train):,} examples of "
        f"{size}, {dataset.spec.support}; {trainer.batches.examples:,} examples to see on {where.type}, "
        f"where reruns are {reruns}" + (f", going on at {trainer.batches.seen:,}" if trainer.batches.seen else "")
    )
    for line in dataset.remarks:
        console.print(line, markup=False)
    lines = [*warnings_of(dataset.spec), trainer.device.warning()]
    lines += [warning_of_repeated_values(dataset)] if model.learns_widths else []
    for line in filter(None, lines):
        console.print(f"warning: {line}", style="yellow", markup=False)


def _describe_write_error(error: BaseException, run: RunFolder) -> BaseException:
    """A full disk and the like as a GenlabError that says what is kept; every other error as it is."""
    if not isinstance(error, OSError) or explain_os_error(error) is None:
        return error
    kept = (
        f"the last checkpoint is whole: make room and run {to_type('resume', run.path)}"
        if run.last.exists()
        else "no checkpoint yet"
    )
    return GenlabError(
        f"the run stopped because {error.filename or run.path} cannot be written ({error.strerror or error}); {kept}"
    )


def _cost(trainer: Trainer) -> dict[str, float | int]:
    """Seconds, examples, parameters and memory, as run.json has them."""
    cost: dict[str, float | int] = {
        "seconds": round(trainer.elapsed(), 2),
        "examples": trainer.batches.seen,
        "parameters": trainer.model.size,
    }
    if (peak := peak_memory_mb()) is not None:
        cost["peak_memory_mb"] = round(peak)
    if trainer.where.type == "cuda":
        cost["peak_device_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return cost


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _report(trainer: Trainer, results: dict[str, tuple[float, float]], shell: bool) -> None:
    """Print a preview of the samples, the measures on the test split, and where everything lies."""
    run, model, dataset, data = trainer.run, trainer.model, trainer.dataset, trainer.dataset.spec
    small = data.is_image and data.shape[0] == 1 and max(data.shape) <= 16
    if small and trainer.samples is not None and not console.is_jupyter:  # a notebook has pictures
        console.print("samples:")
        console.print(preview(trainer.samples[:COLUMNS], COLUMNS))
    measured, whole = len(trainer.test), len(dataset.test)
    of_test = f"{whole:,}" if measured == whole else f"{measured:,} of {whole:,}"
    pictures = sorted(path.name for path in run.samples.glob("*.png") if not path.stem[-10:].isdigit())
    able = isinstance(model, GenerativeModel | Reconstructs)
    word = shortest_name(run)
    steps = [to_type("dashboard", run.path.parent)]
    words = [f"run={word}", *words_that_allow(trainer.config)]
    steps += [to_type("sample", *words)] if able else []
    steps += [to_type("evaluate", *words)]
    facts = {
        "time": f"{trainer.elapsed():,.1f} s for {trainer.batches.seen:,} examples",
        "run folder": str(run.path),
        "pictures": f"{', '.join(pictures)} (in its {run.samples.name}/)" if pictures else "none",
    }
    if shell:
        facts["next"] = below_each_other(steps)
    if early := too_early(model, trainer.training):
        facts["diagnosis"] = early
    if trainer.validation_loss > trainer.best + 3 * results.get("test/loss", (0.0, 0.0))[1]:
        facts["overfitting"] = (
            f"validation loss was {trainer.best:.4g} at {trainer.best_at:,} examples and is {trainer.validation_loss:.4g} now: "
            "train for less long, or take that state with checkpoint=best"
        )
    if shortened := remark(trainer.allowed, model, dataset, words, trainer.sets):
        facts["shortened"] = shortened
    if isinstance(model, HasRemarks) and (remarks := model.remarks()):
        facts["remark"] = "; ".join(remarks)
    summary(
        f"{type(model).__name__} on {data.name}: test split, {of_test} examples",
        {name.removeprefix("test/"): value for name, value in results.items()},
        facts,
    )
