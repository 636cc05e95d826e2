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

    from genlab.benchmark.measurements import Figure

    Figures = Mapping[str, Figure | float]

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

    from genlab.benchmark.measurements import Benchmark, Plan
    from genlab.config.schema import check
    from genlab.experiment.experiment import check_experiment, make_dataset, make_model
    from genlab.experiment.starting import settle
    from genlab.numerics.rng import derive
    from genlab.tracking.console import console

    began = time.perf_counter()
    section, experiment = config.get("benchmark"), {key: config[key] for key in config if key != "benchmark"}
    if not isinstance(section, Mapping):
        raise GenlabError(
            f"benchmark={'null' if section is None else section}: set one of its keys, for example benchmark.repeats=3"
        )
    (keys,) = check(section, "benchmark", Plan)
    plan = Plan(**keys)
    parts = check_experiment(experiment)
    experiment = settle(experiment)
    if (folder / "run.json").exists():
        raise GenlabError(f"hydra.run.dir={folder} holds a run already; name another folder")
    where = parts.device.prepare()
    dataset = make_dataset(experiment).to(where)
    parts.length(dataset)  # refuses a length that does not fit before anything is measured
    model = make_model(experiment, dataset.spec)
    parts.device.place(model)
    torch.manual_seed(derive(experiment["seed"], "training"))
    console.print(
        f"{type(model).__name__} with {model.size:,} parameters on {dataset.spec.name}: batches "
        f"of {parts.training.batch_size}, {parts.device.precision} on {where.type}, {torch.get_num_threads()} threads; medians "
        f"of {plan.repeats} repeats that take turns"
    )
    figures = Benchmark(model, dataset, parts, experiment, plan).run()
    _write(folder, config, figures, where, time.perf_counter() - began)
    for table in (_rates(figures), _times(figures)):
        console.print(table)
    console.print(f"  all figures  {folder / 'benchmark.json'}", markup=False)
    return value(figures["train/images_per_s"])


def value(figure: "Figure | float") -> float:
    """The median of repeats, or the number itself."""
    return figure if isinstance(figure, int | float) else figure.median


def _write(folder: Path, config: dict[str, Any], figures: "Figures", where: "torch.device", seconds: float) -> None:
    """benchmark.json: names -> numbers, then the facts they hold for; config.yaml; run.json for the table of a sweep."""
    import torch

    from genlab.benchmark.hardware import facts
    from genlab.benchmark.measurements import Figure
    from genlab.tracking.run_folder import RunFolder

    flat: dict[str, Any] = {}
    for name, figure in figures.items():
        flat[name] = value(figure)
        if isinstance(figure, Figure):
            flat[f"{name}_low"], flat[f"{name}_high"] = figure.quartiles
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    results = {name: figures[name] for name in IN_SWEEPS if name in figures}
    run.note(
        state="finished",
        seed=config["seed"],
        results={
            name: {"value": value(figure), "stderr": figure.stderr if isinstance(figure, Figure) else 0.0}
            for name, figure in results.items()
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


def _rates(figures: "Figures") -> "Table":
    """Rates of the model beside those of the machine."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("rate", "median", "quartiles", "unit"):
        table.add_column(column, justify="right" if column in ("median", "quartiles") else "left")
    for name, title, unit, scale in RATES:
        if name in figures and (name != "train/closing_s" or value(figures[name]) > 1e-3):
            low, high = getattr(figures[name], "quartiles", (None, None))
            middle = "" if low is None or high is None else f"{_digits(low / scale)} to {_digits(high / scale)}"
            table.add_row(title, _digits(value(figures[name]) / scale), middle, unit)
    return table


def _times(figures: "Figures") -> "Table":
    """Where the time of an update goes, and what the runner adds to it."""
    from rich.table import Table

    from genlab.benchmark.profiling import KINDS, REST

    update = value(figures["train/update_s"])
    table = Table(box=None, pad_edge=False)
    for column in (f"an update takes {_digits(1e3 * update)} ms", "ms", "%"):
        table.add_column(column, justify="left" if not table.columns else "right")
    added = {
        "logging": "added by the runner: records, TensorBoard, pictures, checkpoints",
        "evaluation": "added by the runner: evaluation on the validation split",
    }
    for kind, title in {**KINDS, "rest": REST, **added}.items():
        if f"time/{kind}_s" in figures:
            seconds, share = value(figures[f"time/{kind}_s"]), value(figures[f"time/{kind}_share"])
            table.add_row(title, _digits(1e3 * seconds), f"{100 * share:.1f}")
    return table


def _digits(number: float) -> str:
    """Three digits or more, and no exponent."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"
