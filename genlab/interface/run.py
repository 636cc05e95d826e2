"""A run as Python has it: its model, data, records and measures, and what one may do with it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from genlab.composition import own_code
from genlab.composition.compose import compose
from genlab.composition.explain import explain
from genlab.data.dataset import Dataset
from genlab.errors import GenlabError
from genlab.experiment.opening import TrainedRun, open_run, read_config
from genlab.interface.results import Drawn, Figure, Figures, History, Measures
from genlab.interface.surroundings import undisturbed
from genlab.models.base import Model
from genlab.report.sweep_curves import read_records
from genlab.tracking.own_folder import own_folder
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import read_json
from genlab.training.devices import Device

DRAWN = 64  # samples that a notebook shows


class Run:
    """A run folder. Nothing is read before it is asked for, and everything anew once a method has changed it."""

    def __init__(self, path: str | Path, *, device: str = "auto", allow: Sequence[str] = (), show: bool = True) -> None:
        """`device` is a choice of conf/device; `allow` names classes of the user's own; `show` prints what commands print."""
        self.path: Path = Path(path).absolute()
        """The run folder."""
        self.device: str = device
        """Choice of conf/device on which models are opened."""
        self.show: bool = show
        """Whether methods print what commands print."""
        self._allow = tuple(allow)
        self._folder = RunFolder(self.path)

    def __repr__(self) -> str:
        return f"Run({_short(self.path)}, {self.state})"

    @property
    def info(self) -> dict[str, Any]:
        """The content of run.json: state, seed, versions, device, cost."""
        return self._folder.info()

    @property
    def state(self) -> str:
        """running, finished, failed, interrupted or unknown."""
        return self._folder.state

    @property
    def name(self) -> str | None:
        """The name that `name=` gave it."""
        name = self.info.get("name")
        return None if name is None else str(name)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return read_config(self._folder)

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def history(self) -> History:
        """All records of the training, by column."""
        return History.of(read_records(self._folder.metrics))

    @property
    def metrics(self) -> Measures:
        """The measures of the last evaluation; before the first one those of the test split at the end of the training."""
        try:
            return Measures.of(read_json(self.path / "metrics.json"))
        except FileNotFoundError:
            return Measures.of(self.info.get("results") or {})

    @property
    def figures(self) -> Figures:
        """The newest pictures of the training and of the last evaluation, by name."""
        files = [*sorted(self._folder.samples.glob("*.png")), *sorted((self.path / "evaluation").glob("*.png"))]
        shown = [file for file in files if not file.stem[-10:].isdigit()]
        return Figures({file.stem: Figure(file.stem, file.read_bytes()) for file in shown})

    @cached_property
    def opened(self) -> TrainedRun:
        """The run with the parameters of its last checkpoint, or the best where train.patience stopped it."""
        with self._calling("sample"):
            section = compose("sample", [f"device={self.device}"]).config["device"]
            return open_run(self._folder, Device.of(section), "auto")

    @property
    def model(self) -> Model:
        """The trained model in evaluation mode, a torch module: its methods are those of its family's file."""
        return self.opened.model

    @cached_property
    def dataset(self) -> Dataset:
        """The data of the run: splits `train`, `validation`, `test`, and their specification `spec`."""
        with self._calling("sample"):
            return self.opened.fitting(self.opened.experiment.dataset)

    def sample(self, n: int = DRAWN, *, seed: int = 0, **keys: Any) -> Drawn:
        """n samples. `keys` are those of `genlab sample`: `checkpoint`, and options of the family such as `steps` or `labels`.

        Sample i depends on the seed and on i, not on n, and is that of the command line. Raises GenlabError.
        """
        from genlab.interface.sampling_run import prepare_sampling
        from genlab.plots import by_kind
        from genlab.plots.vector_planes import scatter

        with self._calling("sample"):
            asked = prepare_sampling(self._config_of("sample", n=n, seed=seed, **keys))
            drawn, data = asked.draw(), asked.opened.model.data
            shown = by_kind.samples(drawn.x[:DRAWN], 8, data) if data.on_grid else scatter({"samples": drawn.x}, data)
            return Drawn(drawn, data, Figure.of("samples", shown))

    def pictures(self, n: int = DRAWN, *, seed: int = 0, **keys: Any) -> Figures:
        """Everything that `genlab sample` shows: samples, chains, interpolations, traversals, reconstructions, by name."""
        from genlab.interface.sampling_run import prepare_sampling

        with self._calling("sample"):
            found, _ = prepare_sampling(self._config_of("sample", n=n, seed=seed, **keys)).portfolio()
            return Figures({name: Figure.of(name, picture) for name, picture in found.items()})

    def resume(self, *words: str) -> "Run":
        """Go on where the run stopped, or train it on: `run.resume("train.epochs=40")`. Returns the run, to be opened anew.

        Raises GenlabError for a word that would make it another run, InterruptedRun once all is saved.
        """
        from genlab.interface.resuming import resume

        with self._calling("resume"):
            resume(_short(self.path), list(words), shell=False)
        return Run(self.path, device=self.device, allow=self._allow, show=self.show)

    def export(self, folder: str | Path | None = None, *, overwrite: bool = False) -> Path:
        """Write the run for others, who need PyTorch and no genlab, as `genlab export` does; returns the folder.

        Raises GenlabError where something lies there already.
        """
        from genlab.interface.exporting import export_run

        with self._calling("export"):
            return export_run(_short(self.path), folder, overwrite=overwrite)

    def evaluate(self, n: int | None = None, *, seed: int = 0, samples: object = None, **keys: Any) -> Measures:
        """Measure the run on the test split, as `genlab evaluate` does, whose keys these are; metrics.json keeps the values.

        `samples` are an array (n, ...), or a file, to be measured in place of the model's own. Raises GenlabError.
        """
        from genlab.interface.evaluation_run import evaluate_run

        with self._calling("evaluate"):
            folder = self.path
            if samples is not None:
                folder = own_folder(Path("outputs/evaluate/given") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
                if not isinstance(samples, str | Path):
                    samples = _kept(samples, folder)
                keys["samples"] = str(samples)
            found = evaluate_run(self._config_of("evaluate", n=n, seed=seed, **keys), folder)
            return Measures.of(found.findings.metrics())

    @property
    def diagnoses(self) -> list[dict[str, str]]:
        """What looks wrong, of the last evaluation and of the training: name, evidence and remedy of each."""
        from genlab.report.read_runs import Failure, read_run

        found = read_run(self.path)
        return [] if isinstance(found, Failure) else found.diagnoses

    def describe(self, *, name: str | None = None, tag: str | Sequence[str] = (), note: str | None = None) -> "Run":
        """Give the run a name, tags ("-draft" takes one away) and a note; what is not given stays. Raises GenlabError."""
        from genlab.tracking.naming import describe

        tags = [tag] if isinstance(tag, str) else list(tag)
        changes = [f"name={name}"] * (name is not None) + [f"note={note}"] * (note is not None)
        describe(self._folder, [*changes, *(f"tag={one}" for one in tags)])
        return self

    def remove(self) -> None:
        """Move the run to the trash, from where `genlab.restore(name)` brings it back. Raises GenlabError while it is trained."""
        from genlab.tracking import trash

        trash.remove(trash.find_to_remove(str(self.path)))

    def _config_of(self, command: str, **keys: Any) -> dict[str, Any]:
        """The configuration of a command about this run."""
        config = compose(command, [f"device={self.device}"]).config
        config["run"] = _short(self.path)
        for key, value in keys.items():
            config[key] = {**config[key], **value} if isinstance(value, Mapping) and key in config else _plain(value)
        return config

    @contextmanager
    def _calling(self, command: str) -> Iterator[None]:
        """What is done within the block leaves the process as it was; its errors are GenlabErrors of one line."""
        with undisturbed(self.show), own_code.allowed([f"allow={target}" for target in self._allow]):
            try:
                yield
            except GenlabError:
                raise
            except Exception as error:
                line = explain(error, command, [])
                if line is None:
                    raise
                raise GenlabError(line) from None

    def _repr_html_(self) -> str:
        config, cost = self.config, self.info.get("cost") or {}
        names = [str(config[part]["_target_"]).rpartition(".")[2] for part in ("model", "dataset")]
        facts = f"{cost['seconds']:,.1f} s, {cost['examples']:,} examples" if "seconds" in cost else ""
        pictures = self.figures
        first = Figures({name: pictures[name] for name in ("samples", "learning_curves") if name in pictures})
        told = f"<b>{escape(' on '.join(names))}</b>, {escape(self.state)} {facts}"
        head = f"<p>{told}<br><code>{escape(_short(self.path))}</code></p>"
        return head + self.metrics._repr_html_() + first._repr_html_()

    def _repr_png_(self) -> bytes | None:
        figure = self.figures.get("samples")
        return None if figure is None else figure.data


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _plain(value: Any) -> Any:
    """Without tuples and numbers of numpy, which the configuration does not know."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _kept(samples: object, folder: Path) -> Path:
    """The file that holds samples given as an array, beside the evaluation of them."""
    import numpy as np
    import torch

    if isinstance(samples, Drawn):
        return samples.save(folder / "samples.npz")
    values = samples.detach().cpu().numpy() if isinstance(samples, torch.Tensor) else np.asarray(samples)
    np.savez_compressed(folder / "samples.npz", samples=values)
    return folder / "samples.npz"
