"""The log of a run: metrics.jsonl and TensorBoard with the same names, and pictures in samples/ and TensorBoard."""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import yaml
from torch import Tensor

from genlab.errors import InterruptedRun
from genlab.plots.captions import caption
from genlab.plots.images import Picture, png, save_gif
from genlab.plots.learning_curves import Chart
from genlab.tracking.events import EventWriter
from genlab.tracking.flat_config import parameters
from genlab.tracking.other_trackers import OtherTrackers, state_after
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.sweep_folder import settings


class Tracker:
    """Open for one session of a run; `resumed_at` is the number of examples at which a resumed run goes on.

    `charts` are what the model's family looks at, by title.
    """

    def __init__(
        self,
        run: RunFolder,
        config: Mapping[str, Any],
        resumed_at: int | None,
        charts: Mapping[str, Chart] | None = None,
    ) -> None:
        self.run, self.charts = run, charts or {}
        self.listeners: list[Callable[[Mapping[str, float], int], None]] = []  # of every record
        self.events = EventWriter(run.tensorboard, resumed_at)
        self._laid_out = run.metrics.exists()  # the layout goes with the first record
        if resumed_at is None:
            self.events.text("config", "```yaml\n" + yaml.safe_dump(dict(config), sort_keys=False) + "\n```")
            self.events.hparams({**_typed(run), **parameters(config)}, _trial(run, config))
        self.others = OtherTrackers(run, config, again=resumed_at is not None)

    def record(self, values: Mapping[str, float], seen: int, epoch: int, seconds: float) -> None:
        if not values:
            return
        if not self._laid_out:
            self.events.layout(_layout(values, self.charts))
            self._laid_out = True
        beside = {"epoch": epoch, "seconds": round(seconds, 3)}
        self.run.record({"examples": seen, **beside, **values})
        self.events.scalars(values, seen)
        self.others.record({**beside, **values}, seen)
        for hear in self.listeners:
            hear(values, seen)

    def picture(self, name: str, picture: Picture, seen: int, keep: bool = True) -> None:
        """samples/<name>.png, the newest. To `keep` it, show it in TensorBoard and write samples/<name>_<examples>.png too."""
        encoded = png(picture, caption(name))
        self.run.samples.mkdir(exist_ok=True)
        if keep:
            self.events.image(name, encoded, (picture.shape[0], picture.shape[1]), seen, caption(name))
            kept = self.run.samples / f"{name}_{seen:010d}.png"
            kept.write_bytes(encoded)
            self.others.pictures([kept], seen)
        (self.run.samples / f"{name}.png").write_bytes(encoded)

    def film(self, name: str) -> None:
        """samples/<name>.gif of all pictures of that name, from the first to the newest."""
        frames = sorted(self.run.samples.glob(f"{name}_{10 * '[0-9]'}.png"))
        if frames:
            save_gif(self.run.samples / f"{name}.gif", frames)

    def histograms(self, parameters: Iterable[tuple[str, Tensor]], seen: int) -> None:
        for name, values in parameters:
            self.events.histogram(f"parameters/{name}", values, seen)

    def flush(self) -> None:
        self.events.flush()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.others.end(state_after(error, InterruptedRun))
        try:
            self.events.end(ok=error is None)
            self.events.close()
        except OSError:
            if error is None:  # a full disk has been reported already
                raise


def _typed(run: RunFolder) -> dict[str, str]:
    """What a job of a sweep was given that is no key of its configuration, such as its experiment."""
    chosen = settings(run.info())
    return {"experiment": chosen["experiment"]} if "experiment" in chosen else {}


def _trial(run: RunFolder, config: Mapping[str, Any]) -> str:
    """The name of a run in the HPARAMS table, which no other run has: given name, folder, and the folder above."""
    folder, above = run.path.name, run.path.parent.name
    name = str(config.get("name") or "")
    return " ".join(part for part in (name if name not in folder else "", folder, "of", above) if part)


def _layout(values: Mapping[str, float], charts: Mapping[str, Chart]) -> dict[str, dict[str, list[str]]]:
    """The family's own charts; each training term beside the same one on held-out data; the model's state; optimizers."""
    terms = [name.removeprefix("train/") for name in values if name.startswith("train/")]
    optimizer = [name for name in values if name.startswith("optimizer/")]
    monitored = [name.removeprefix("monitor/") for name in values if name.startswith("monitor/")]
    if monitored:
        monitored += ["r_hat", "autocorrelation_time"]  # which are not in the first record
    layout = {
        "What this family looks at": {title: [f"{name}$" for name in chart.names] for title, chart in charts.items()},
        "Terms: training and validation": {
            term: [f"train/{term}$", f"eval/{term}$", f"test/{term}$"] for term in terms
        },
        "State of the model": {name: [f"monitor/{name}$"] for name in dict.fromkeys(monitored)},
        "Optimizer": {name.removeprefix("optimizer/"): [name + "$"] for name in optimizer},
        "Throughput": {"images per second": ["throughput/images_per_second$"]},
    }
    return {category: charts for category, charts in layout.items() if charts}
