"""The findings of an evaluation as files and on the console: metrics.json, evaluation/, TensorBoard and a table."""

import json
import math
import shutil
from datetime import datetime
from itertools import count, groupby
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from rich.table import Table
from rich.text import Text

from genlab.errors import GenlabError
from genlab.evaluation.entries import GROUPS, Entry
from genlab.evaluation.findings import Findings
from genlab.lattice.statistics import SHORT
from genlab.metrics.estimate import Estimate
from genlab.metrics.rounding import plain, rounded
from genlab.plots.captions import caption, write_captions
from genlab.plots.images import png, save_png
from genlab.tracking.console import console, fact
from genlab.tracking.events import EventWriter
from genlab.tracking.next_steps import below_each_other
from genlab.tracking.other_trackers import send_evaluation
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import read_json, read_yaml

WIDE = 100  # columns of a terminal that has room for both comparisons of a measure
MOST_SAMPLES = 1000  # that are kept as an array


def write(findings: Findings, folder: Path, seen: int, tensorboard: Path | None) -> Path | None:
    """Write metrics.json and evaluation/ into `folder`; returns where those of an earlier evaluation are kept now.

    They are kept unless the same was measured in the same way (facts "settings" and "examples"): then they are overwritten.
    Values and pictures also go into the folder `tensorboard`, at the step `seen`, the examples of the training.

    Of several evaluations that end together one writes after the other. The new one is complete before the earlier one moves,
    each with its metrics.json: a process that is killed here destroys neither.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = findings.facts | {"examples": seen, "diagnoses": [d.as_dict() for d in findings.diagnoses]}
    with FileLock(folder / ".evaluation.lock"):
        new, old = folder / ".evaluation.new", folder / ".evaluation.old"
        for left in (new, old):  # by a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        _write_details(findings, facts, new)
        kept = _move_earlier(folder, facts, old)
        details = new.rename(folder / "evaluation")
        (details / "metrics.json").replace(folder / "metrics.json")
        shutil.rmtree(old, ignore_errors=True)
        if tensorboard is not None:
            _write_events(findings, tensorboard, seen)
            run = RunFolder(folder)
            send_evaluation(run, _config_of(folder), findings.metrics(), sorted(details.glob("*.png")), seen)
    return kept


def _config_of(run: Path) -> dict[str, Any]:
    try:
        found = read_yaml(run / "config.yaml")
    except (OSError, GenlabError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_details(findings: Findings, facts: dict[str, Any], folder: Path) -> None:
    """All that was found, as the new folder `folder`."""
    folder.mkdir()
    for name, picture in findings.pictures.items():
        save_png(folder / f"{name}.png", picture)
    write_captions(folder)
    if findings.samples is not None:
        assert findings.data is not None, "samples are of some data"
        kept = findings.samples[:MOST_SAMPLES].arrays(findings.data)
        np.savez_compressed(folder / "samples.npz", **kept)  # type: ignore[arg-type]
    _dump(folder / "evaluation.json", facts)
    _dump(folder / "metrics.json", findings.metrics())


def _move_earlier(folder: Path, facts: dict[str, Any], old: Path) -> Path | None:
    """Move an earlier evaluation out of the way: into a folder with its date, or to `old` where the same was measured alike.

    Returns the folder in which it is kept; None where there is none to keep.
    """
    details = folder / "evaluation"
    if not details.exists():
        return None
    try:
        earlier = read_json(details / "evaluation.json")
        made = datetime.fromtimestamp((details / "evaluation.json").stat().st_mtime).astimezone()
    except (OSError, GenlabError):
        earlier = None
    alike = "settings" in facts and isinstance(earlier, dict)
    if earlier is None or (alike and all(earlier.get(key) == facts[key] for key in ("settings", "examples"))):
        details.rename(old)
        return None
    if not (details / "metrics.json").exists() and (folder / "metrics.json").exists():
        shutil.copy2(folder / "metrics.json", details)
    name = f"evaluation_{made:%Y-%m-%d_%H-%M-%S}"
    free = (folder / (name if number == 1 else f"{name}_{number}") for number in count(1))
    kept = next(place for place in free if not place.exists())
    return details.rename(kept)


def _write_events(findings: Findings, tensorboard: Path, seen: int) -> None:
    shutil.rmtree(tensorboard, ignore_errors=True)
    writer = EventWriter(tensorboard)
    entries = findings.entries.items()
    values = {f"evaluation/{name}": entry.value for name, entry in entries if math.isfinite(entry.value)}
    errors = {
        f"evaluation/{n}_stderr": e.stderr for n, e in entries if e.stderr is not None and math.isfinite(e.stderr)
    }
    writer.scalars(values | errors, seen)
    for name, picture in findings.pictures.items():
        size = picture.shape[0], picture.shape[1]
        writer.image(f"evaluation/{name}", png(picture), size, seen, caption(name))
    for diagnosis in findings.diagnoses:
        remedy = f"\n\n**Remedy:** {diagnosis.remedy}" if diagnosis.remedy else ""
        writer.text(f"diagnosis/{diagnosis.name}", diagnosis.evidence + remedy)
    writer.close()
    write_projector(findings, tensorboard, seen)


def write_projector(findings: Findings, folder: Path, seen: int) -> None:
    """Codes of some test examples, with their classes, for TensorBoard's projector."""
    codes, labels = findings.codes, findings.labels
    if codes is None or codes.shape[1] < 3:  # the projector needs three dimensions; two are a picture already
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), filename_suffix=".projector")
    of = findings.data.names if findings.data is not None else ()
    names = None if labels is None else [of[label] if label < len(of) else str(label) for label in labels.tolist()]
    writer.add_embedding(codes, metadata=names, tag="codes", global_step=seen)
    writer.close()


def _dump(path: Path, content: Any) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    partial.replace(path)


def _text(value: float, stderr: float | None) -> str:
    return plain(rounded(value, stderr)) if stderr else plain(rounded(value))


def _cell(measure: Estimate | None) -> str:
    return "" if measure is None else _text(measure.value, measure.stderr)


def show(findings: Findings, folder: Path) -> None:
    """Print the table of all measures, the diagnoses, and the files that were written."""
    facts = findings.facts
    protocol = [f"{facts['test_examples']:,} test examples"]
    if "n" in facts:
        features = facts["features"]
        protocol += [
            f"{facts['n']:,} samples{_of_chains(facts)}, seed {facts['seed']}",
            f"features {features['name']} {features['hash']} ({features['dimensions']} dimensions)",
        ]
    table = Table(title=", ".join(protocol), title_justify="left", box=None, pad_edge=False)
    beside = [
        (name, attribute)
        for name, attribute in (("real against real" if "n" in facts else "floor", "real"), ("baseline", "baseline"))
        if any(getattr(entry, attribute) is not None for entry in findings.entries.values())
    ]
    if console.width < WIDE:  # the second one stands in metrics.json
        beside = beside[:1]
    table.add_column("measure", no_wrap=True)
    for column in ("value", *(name for name, _ in beside)):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("unit", overflow="fold")
    entries = sorted(findings.entries.items(), key=lambda item: GROUPS.index(item[1].group))
    observables = {name: entry for name, entry in entries if entry.group == "observables"}
    entries = [(name, entry) for name, entry in entries if name not in observables]
    for group, members in groupby(entries, key=lambda item: item[1].group):
        table.add_row(Text(group, style="bold"))
        for name, entry in members:
            others = [_cell(getattr(entry, attribute)) for _, attribute in beside]
            table.add_row(f"  {name}", _text(entry.value, entry.stderr), *others, _unit(entry))
    console.print(table)
    if observables:
        console.print(_of_observables(observables, facts))
        for whose, length in facts.get("autocorrelation_times", {}).items():
            fact(
                "errors",
                f"of the {whose} are too small: their order is correlated, and they are {length:.0f} "
                f"autocorrelation times; {SHORT:.0f} are enough",
                style="yellow",
            )
    fact("likelihood", facts["representation"])
    for found in facts.get("likelihoods", []):
        if "log_z_outside_data" in found:
            fact(
                "log Z",
                f"{found['log_z']:,.4f} on a lattice, to {found['log_z_error']:.1g}; "
                f"{100 * found['log_z_outside_data']:.2g} % of it where there are no data",
            )
        if "effective_chains" in found:
            low, high = found["log_z_interval"]
            fact(
                "log Z",
                f"{found['log_z']:,.2f} by {found['name']}, within 3 standard errors {low:,.2f} to {high:,.2f}; "
                f"{found['effective_chains']:.0f} chains count",
            )
    if "calibration_error" in findings.entries:
        fact("floor", "of the calibration error that of a perfectly calibrated classifier")
    if any(entry.baseline is not None for entry in findings.entries.values()):
        special = {"denoising": "of denoising the noisy examples", "codes": "of codes as many principal components"}
        present = {entry.group for entry in findings.entries.values()}
        of_others = "".join(f"; {text}" for group, text in special.items() if group in present)
        fact("baseline", f"components independent of each other{of_others}")
    if "denoising" in facts:
        fact("denoising", facts["denoising"]["kind"])
    if "anomaly" in facts:
        _show_anomalies(facts["anomaly"])
    if "ex_post" in facts:
        fact("sampling", f"ex post, from a {facts['ex_post']}: no part of the model")
    for remark in facts.get("remarks", []):
        fact("remark", remark, style="yellow")
    for diagnosis in findings.diagnoses:
        fact("diagnosis", str(diagnosis), style="yellow")
    if "too_early" in facts:
        fact("diagnosis", facts["too_early"])
    elif not findings.diagnoses:
        fact("diagnosis", "nothing that the rules know")
    seconds = facts["seconds"]
    fact("time", f"{seconds['total']:,.1f} s, of which sampling {seconds['sampling']:,.1f} s")
    fact("written", below_each_other([str(folder / "metrics.json"), f"{folder / 'evaluation'}/"]))


def _of_chains(facts: dict[str, Any]) -> str:
    return f" that go on from {facts['chains']:,} chains" if "chains" in facts else ""


def _of_observables(entries: dict[str, Entry], facts: dict[str, Any]) -> Table:
    """Observables of a lattice beside Monte Carlo and what is exact, with deviations in standard errors."""
    title = f"{facts['configurations']:,} configurations{_of_chains(facts)} against the test split"
    if "rounded" in facts:
        title += f"; {100 * facts['rounded']:.1f} % of their components were not 0 or 1 and were rounded"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("observable", no_wrap=True)
    for column in ("model", "Monte Carlo", "exact", "deviation"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, entry in entries.items():
        exact = "" if entry.exact is None else f"{entry.exact:.5g}"
        off = "" if entry.deviation is None else f"{entry.deviation:+.1f} s.e."
        table.add_row(f"  {name}", _text(entry.value, entry.stderr), _cell(entry.real), exact, off)
    return table


def _show_anomalies(facts: dict[str, Any]) -> None:
    against, normal, anomalous = facts["against"], facts["normal"], facts["anomalous"]
    fact("anomalies", f"{against}: {anomalous:,} against {normal:,} test examples")
    if not facts["scores"]:
        fact("", "the model has no score that would rank them")
    for name, found in facts["scores"].items():
        low, high = found["interval_95"]
        fact(
            "",
            f"{name}: AUROC {found['auroc']:.4f}, 95 % interval {low:.4f} to {high:.4f}; where 95 % are found, "
            f"{100 * found['false_positives_at_95']:.1f} % of the normal are taken for anomalous",
        )


def _unit(entry: Entry) -> str:
    says = entry.group == "likelihood" or entry.kind in ("lower bound", "biased")
    return f"{entry.unit}, {entry.kind}" if says else entry.unit
