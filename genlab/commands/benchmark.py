"""genlab benchmark model=... dataset=...: images a second of training and sampling, and where the time goes."""

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
import yaml
from omegaconf import DictConfig

from genlab import __version__
from genlab.commands.job import run_job
from genlab.errors import GenlabError

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from genlab.benchmark.measurements import Measurement

    Results = Mapping[str, Measurement | float]

IN_SWEEPS = ("train/images_per_s", "sample/images_per_s", "train/share_of_matmul_peak", "memory/peak_mb")

RATES = (  # name in benchmark.json, what it is called, its unit here, and that unit in those of benchmark.json
    ("train/images_per_s", "training", "images/s", 1),
    ("train/flops_per_image", "  FLOPs counted (matrix products and convolutions)", "MFLOP/image", 1e6),
    ("train/flops_per_s", "  arithmetic", "GFLOP/s", 1e9),
    ("train/share_of_matmul_peak", "  share of this machine's matrix-multiply peak", "%", 1e-2),
    ("train/closing_s", "  after the last batch", "s", 1),
    ("sample/images_per_s", "sampling", "images/s", 1),
    ("sample/flops_per_image", "  FLOPs counted", "MFLOP/image", 1e6),
    ("sample/flops_per_s", "  arithmetic", "GFLOP/s", 1e9),
    ("sample/share_of_matmul_peak", "  share of this machine's matrix-multiply peak", "%", 1e-2),
    ("machine/matmul_flops_per_s", "this machine: matrix multiply", "GFLOP/s", 1e9),
    ("machine/memory_bytes_per_s", "this machine: memory, read and write of a copy", "GB/s", 1e9),
    ("memory/peak_mb", "peak memory of the process", "MiB", 1),
    ("memory/training_mb", "  increase in training", "MiB", 1),
    ("memory/sampling_mb", "  further increase in sampling", "MiB", 1),
    ("memory/device_peak_mb", "peak memory on the device", "MiB", 1),
)


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="benchmark")
def main(config: DictConfig) -> float | None:
    return run_job(benchmark, config)


def benchmark(config: dict[str, Any], folder: Path) -> float:
    """Measure, show, and write benchmark.json into `folder`; returns the images a second of the training."""
    import torch

    from genlab.benchmark.measurements import Benchmark, BenchmarkSection
    from genlab.config.schema import check
    from genlab.experiment.experiment import Experiment
    from genlab.experiment.starting import describe_start
    from genlab.tracking.console import console

    began = time.perf_counter()
    values = config.get("benchmark")
    if not isinstance(values, Mapping):
        raise GenlabError(
            f"benchmark={'null' if values is None else values}: set one of its keys, for example benchmark.repeats=3"
        )
    (keys,) = check(values, "benchmark", BenchmarkSection)
    section = BenchmarkSection(**keys)
    experiment = Experiment({key: config[key] for key in config if key != "benchmark"})
    describe_start(experiment)
    if (folder / "run.json").exists():
        raise GenlabError(f"hydra.run.dir={folder} holds a run already; name another folder")
    experiment.build()
    experiment.begin_training()
    model, device, where = experiment.model, experiment.device, experiment.device.resolve()
    console.print(
        f"{type(model).__name__} with {model.size:,} parameters on {experiment.dataset.spec.name}: batches "
        f"of {experiment.train.batch_size}, {device.precision} on {where.type}, {torch.get_num_threads()} threads; medians "
        f"of {section.repeats} repeats that take turns"
    )
    results = Benchmark(experiment, section).run()
    _write(folder, config, results, where, time.perf_counter() - began)
    for table in (_rates(results), _times(results)):
        console.print(table)
    console.print(f"  all figures  {folder / 'benchmark.json'}", markup=False)
    return value(results["train/images_per_s"])


def value(result: "Measurement | float") -> float:
    """The median of repeats, or the number itself."""
    return result if isinstance(result, int | float) else result.median


def _write(folder: Path, config: dict[str, Any], results: "Results", where: "torch.device", seconds: float) -> None:
    """Write benchmark.json (names -> numbers, and the machine they hold for), config.yaml, and run.json for a sweep's table."""
    import torch

    from genlab.benchmark.hardware import facts
    from genlab.benchmark.measurements import Measurement
    from genlab.tracking.run_folder import RunFolder

    flat: dict[str, Any] = {}
    for name, result in results.items():
        flat[name] = value(result)
        if isinstance(result, Measurement):
            flat[f"{name}_low"], flat[f"{name}_high"] = result.quartiles
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    headline = {name: results[name] for name in IN_SWEEPS if name in results}
    run.note(
        state="finished",
        seed=config["seed"],
        results={
            name: {"value": value(result), "stderr": result.stderr if isinstance(result, Measurement) else 0.0}
            for name, result in headline.items()
        },
        cost={"seconds": round(seconds, 2), "parameters": flat["model/parameters"]},
    )
    flat |= {
        "machine": facts(where),
        "device": {"name": where.type, "precision": config["device"]["precision"], "threads": torch.get_num_threads()},
        "versions": {"genlab": __version__, "python": platform.python_version(), "torch": torch.__version__},
        "config": config,
    }
    (folder / "benchmark.json").write_text(json.dumps(flat, indent=1) + "\n")


def _rates(results: "Results") -> "Table":
    """Rates of the model beside those of the machine."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("rate", "median", "quartiles", "unit"):
        table.add_column(column, justify="right" if column in ("median", "quartiles") else "left")
    for name, title, unit, scale in RATES:
        if name in results and (name != "train/closing_s" or value(results[name]) > 1e-3):
            low, high = getattr(results[name], "quartiles", (None, None))
            middle = "" if low is None or high is None else f"{_digits(low / scale)} to {_digits(high / scale)}"
            table.add_row(title, _digits(value(results[name]) / scale), middle, unit)
    return table


def _times(results: "Results") -> "Table":
    """Where the time of an update goes, and what the trainer adds to it."""
    from rich.table import Table

    from genlab.benchmark.profiling import KINDS, REST

    update = value(results["train/update_s"])
    table = Table(box=None, pad_edge=False)
    for column in (f"an update takes {_digits(1e3 * update)} ms", "ms", "%"):
        table.add_column(column, justify="left" if not table.columns else "right")
    added = {
        "logging": "added by the trainer: records, TensorBoard, pictures, checkpoints",
        "evaluation": "added by the trainer: evaluation on the validation split",
    }
    for kind, title in {**KINDS, "rest": REST, **added}.items():
        if f"time/{kind}_s" in results:
            seconds, share = value(results[f"time/{kind}_s"]), value(results[f"time/{kind}_share"])
            table.add_row(title, _digits(1e3 * seconds), f"{100 * share:.1f}")
    return table


def _digits(number: float) -> str:
    """Three digits or more, and no exponent."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"
