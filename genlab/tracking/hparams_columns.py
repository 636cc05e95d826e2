"""The columns of TensorBoard's table of hyperparameters (HPARAMS) for one sweep: its swept keys and its final measures.

TensorBoard takes the first list of columns that it finds for everything it shows. So the list lies in the folder of the sweep and
holds while TensorBoard is opened on that; where it is opened on a folder of several sweeps, the lists are laid aside.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlab.tracking.sweep_folder import SweepFolder

NAME = "events.out.tfevents.0000000000.columns"  # TensorBoard reads a file that has 'tfevents' in its name


def write_columns(sweep: SweepFolder) -> None:
    """Write the list of columns of a sweep of trainings, where it is not there as it should be."""
    content = sweep.read()
    swept, jobs = content.get("swept"), content.get("jobs", [])
    metrics = list(dict.fromkeys(name for job in jobs for name in job.get("results") or {}))
    if not isinstance(swept, dict) or not metrics:
        return
    summary = columns_summary({str(key): values for key, values in swept.items()}, metrics)
    if _written(sweep.path / NAME) != summary.SerializeToString():
        _write(sweep.path / NAME, summary)


def lay_aside(folder: Path) -> None:
    """Remove the lists of columns of the sweeps below `folder`, which is no sweep itself: they would hold for each other."""
    for place, inside, names in os.walk(folder):
        if NAME in names:
            (Path(place) / NAME).unlink(missing_ok=True)
        if {"run.json", "sweep.json"} & set(names):
            inside.clear()


def columns_summary(swept: dict[str, Any], metrics: Sequence[str]) -> Any:
    """TensorBoard's summary of an experiment with these hyperparameters and measures."""
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    infos = []
    for key, values in swept.items():
        known = values if isinstance(values, list) else []
        info = api_pb2.HParamInfo(name=key, type=getattr(api_pb2, _kind(known)), differs=True)
        if info.type == api_pb2.DATA_TYPE_STRING:  # a choice, not a range
            info.domain_discrete.extend([str(value) for value in known])
        infos.append(info)
    shown = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name), display_name=name.removeprefix("test/"))
        for name in metrics
    ]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=shown)
    return _summary(metadata, HParamsPluginData(experiment=experiment))


def _summary(metadata: Any, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    value = Summary.Value(
        tag=metadata.EXPERIMENT_TAG, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return Summary(value=[value])


def _kind(values: Sequence[Any]) -> str:
    """TensorBoard's type of a column; of values of several types, text."""
    if values and all(isinstance(value, bool) for value in values):
        return "DATA_TYPE_BOOL"
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return "DATA_TYPE_FLOAT64" if values and is_number else "DATA_TYPE_STRING"


def _written(file: Path) -> bytes | None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    if not file.exists():
        return None
    found = [event.summary.SerializeToString() for event in EventFileLoader(str(file)).Load() if event.summary.value]
    return found[-1] if found else None


def _write(file: Path, summary: Any) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    partial = file.with_name("columns.partial")  # no name that TensorBoard reads
    with partial.open("wb") as opened:
        records = RecordWriter(opened)
        for event in (Event(file_version="brain.Event:2"), Event(summary=summary)):
            event.wall_time = time.time()
            records.write(event.SerializeToString())
    partial.replace(file)
