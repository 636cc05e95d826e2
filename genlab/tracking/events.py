"""TensorBoard event files, written in step with the run: no writer thread, so what is on disk is known exactly.

A checkpoint notes how long each file was; resuming cuts the files back to that length and continues in a new one, so that the
curves of a resumed run have no steps back.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import Tensor


class EventWriter:
    """Appends to one event file in `folder`, numbered after those that are there."""

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("events.out.tfevents.*")))
        self._file = (folder / f"events.out.tfevents.{number:010d}.genlab").open("ab")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2"))
        if resume_step is not None:  # an open TensorBoard then drops what came later
            self._write(Event(step=resume_step + 1, session_log=SessionLog(status=SessionLog.START)))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())

    def _summary(self, summary: Any, step: int) -> None:
        self._write(Event(step=step, summary=summary))

    def _tensor(self, tag: str, metadata: Any, tensor: Any) -> None:
        self._summary(Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)]), 0)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        if values:
            self._summary(Summary(value=[Summary.Value(tag=k, simple_value=v) for k, v in values.items()]), step)

    def image(self, tag: str, encoded: bytes, size: tuple[int, int], step: int, caption: str = "") -> None:
        """Show a PNG of `size` (height, width), with a caption behind the picture's sign for information."""
        image = Summary.Image(height=size[0], width=size[1], colorspace=3, encoded_image_string=encoded)
        metadata = SummaryMetadata(summary_description=caption)
        self._summary(Summary(value=[Summary.Value(tag=tag, image=image, metadata=metadata)]), step)

    def histogram(self, tag: str, values: Tensor, step: int, bins: int = 60, most: int = 100_000) -> None:
        """Distribution of finite `values`, of evenly spaced ones where there are more than `most`."""
        flat = values.detach().flatten()
        flat = flat[:: -(-len(flat) // most)].cpu().double()
        low, high = float(flat.min()), float(flat.max())
        if high == low:
            low, high = low - 0.5, high + 0.5
        counts = torch.histc(flat, bins, low, high)
        edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)[1:]
        histogram = HistogramProto(
            min=low,
            max=high,
            num=len(flat),
            sum=float(flat.sum()),
            sum_squares=float(flat.square().sum()),
            bucket_limit=edges.tolist(),
            bucket=counts.tolist(),
        )
        self._summary(Summary(value=[Summary.Value(tag=tag, histo=histogram)]), step)

    def text(self, tag: str, markdown: str) -> None:
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        self._tensor(tag, metadata, _string(markdown.encode()))

    def layout(self, categories: Mapping[str, Mapping[str, list[str]]]) -> None:
        """Custom-scalar layout: category -> chart -> regular expressions of tags, matched from their start."""
        layout = layout_pb2.Layout(
            category=[
                layout_pb2.Category(
                    title=title,
                    chart=[
                        layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=tags))
                        for name, tags in charts.items()
                    ],
                )
                for title, charts in categories.items()
            ]
        )
        metadata = custom_scalar.create_summary_metadata()
        self._tensor(custom_scalar.CONFIG_SUMMARY_TAG, metadata, _string(layout.SerializeToString()))

    def hparams(self, values: Mapping[str, bool | int | float | str], trial: str) -> None:
        """The hyperparameters of this run, for the HPARAMS table. Runs of the same `trial` are one line there.

        Which columns there are is left to TensorBoard: it finds the keys in which the runs below its folder differ. A list of
        columns written by one sweep would hold for all of them.
        """
        self._summary(hparams.hparams_pb(dict(values), trial_id=trial), 0)

    def end(self, ok: bool) -> None:
        """Mark the end of the run in the HPARAMS table."""
        end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS if ok else api_pb2.STATUS_FAILURE, end_time_secs=time.time())
        metadata = hparams_metadata.create_summary_metadata(HParamsPluginData(session_end_info=end))
        self._tensor(hparams_metadata.SESSION_END_INFO_TAG, metadata, hparams_metadata.NULL_TENSOR)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _string(value: bytes) -> Any:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    return TensorProto(dtype=DT_STRING, string_val=[value], tensor_shape=shape)
