"""Whether two run folders hold the same run: all but times, process ids and the lengths of files that hold them."""

import logging
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genlab.training import checkpoint
from tests.helpers.processes import CLOCK, files, info, records, same

OF_TIME = ("seconds", "logs")  # of a checkpoint; the event files hold the times of their records


def differences(run: Path, other: Path) -> list[str]:
    """What differs, in words; nothing where the one ended like the other."""
    found = []
    for name in ("last.pt", "best.pt"):
        paths = [folder / "checkpoints" / name for folder in (run, other)]
        if not all(path.exists() for path in paths):
            found += [f"{name} is missing"] if any(path.exists() for path in paths) else []
            continue
        a, b = (checkpoint.load(path) for path in paths)
        found += [
            f"{name}: {where}"
            for key in sorted({*a, *b} - set(OF_TIME))
            for where in _paths(a.get(key), b.get(key), key)
        ]
    found += _of_records(records(run, CLOCK), records(other, CLOCK))
    for part in ("samples", ".hydra"):
        a_files, b_files = files(run / part), files(other / part)
        found += [
            f"{part}/{name}"
            for name in sorted({*a_files, *b_files})
            if a_files.get(name) != b_files.get(name)
            if name != "hydra.yaml"  # which names the folder
        ]
    found += [f"{path.relative_to(run)} is left" for path in run.rglob("*.partial")]
    facts, expected = info(run), info(other)
    found += [
        f"run.json: {key}"
        for key in ("state", "results", "warnings", "error", "seed")
        if facts.get(key) != expected.get(key)
    ]
    if (run / "config.yaml").read_text() != (other / "config.yaml").read_text():
        found.append("config.yaml")
    return found + _of_curves(_curves(run), _curves(other))


def _paths(a: Any, b: Any, path: str) -> list[str]:
    """Where in nested containers two values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [p for key in sorted({*a, *b}, key=str) for p in _paths(a.get(key), b.get(key), f"{path}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [p for i, (x, y) in enumerate(zip(a, b, strict=True)) for p in _paths(x, y, f"{path}.{i}")]
    if same(a, b):
        return []
    return [f"{path} ({a} != {b})" if isinstance(a, float | int | str) else path]


def _of_records(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[str]:
    if [x["examples"] for x in a] != [x["examples"] for x in b]:
        return [f"records at {[x['examples'] for x in a]} instead of {[x['examples'] for x in b]}"]
    return [
        f"metrics.jsonl at {x['examples']}: {where}" for x, y in zip(a, b, strict=True) for where in _paths(x, y, "")
    ]


def _curves(run: Path) -> dict[str, Any]:
    events = EventAccumulator(
        str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    )
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # pictures of no plugin are odd to it
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"] if tag not in CLOCK}
    pictures = {tag: [(e.step, e.encoded_image_string) for e in events.Images(tag)] for tag in tags["images"]}
    histograms = {tag: [(e.step, e.histogram_value) for e in events.Histograms(tag)] for tag in tags["histograms"]}
    tensors: dict[str, list[object]] = {tag: [] for tag in tags["tensors"]}
    return {**scalars, **pictures, **histograms, **tensors}


def _of_curves(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [f"tensorboard: {tag}" for tag in sorted({*a, *b}) if repr(a.get(tag)) != repr(b.get(tag))]
