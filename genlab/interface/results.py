"""What Python gets back: pictures, measures, records and samples, which a notebook shows as pictures and tables."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.errors import did_you_mean
from genlab.inference.samples import Samples, named_labels
from genlab.metrics.rounding import plain, rounded
from genlab.plots.captions import caption
from genlab.plots.images import Picture, png

Cells = Iterable[Iterable[object]]
Value = TypeVar("Value")


def html_table(head: Iterable[object], rows: Cells) -> str:
    """A table for a notebook; every cell is text."""

    def line(kind: str, cells: Iterable[object]) -> str:
        return "<tr>" + "".join(f"<{kind}>{escape(str(cell))}</{kind}>" for cell in cells) + "</tr>"

    return f"<table><thead>{line('th', head)}</thead><tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"


@dataclass(frozen=True, repr=False)
class Figure:
    """A picture with its caption. A notebook shows it."""

    name: str
    data: bytes
    """PNG."""

    @classmethod
    def of(cls, name: str, picture: Picture) -> "Figure":
        """From grey values (height, width, 3), uint8."""
        return cls(name, png(picture, caption(name)))

    @property
    def caption(self) -> str:
        """What is seen in it."""
        return caption(self.name)

    @property
    def array(self) -> Picture:
        """Its pixels, (height, width, 3), uint8."""
        import io

        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(self.data)).convert("RGB"))

    def save(self, path: str | Path) -> Path:
        """Write it as a PNG file."""
        Path(path).write_bytes(self.data)
        return Path(path)

    def __repr__(self) -> str:
        return f"Figure({self.name}: {self.caption})"

    def _repr_png_(self) -> bytes:
        return self.data


class Named(dict[str, Value]):
    """Values by name: a name that there is not is answered with one that there is."""

    def __missing__(self, name: str) -> Value:
        raise KeyError(f"{name}: {did_you_mean(str(name), self)}")


class Figures(Named[Figure]):
    """Pictures by name. A notebook shows them below each other with their captions."""

    def __repr__(self) -> str:
        return f"Figures({', '.join(self)})"

    def _repr_html_(self) -> str:
        from base64 import b64encode

        return "".join(
            f"<figure><img alt='{escape(name)}' src='data:image/png;base64,{b64encode(figure.data).decode()}'>"
            f"<figcaption><b>{escape(name)}</b>: {escape(figure.caption)}</figcaption></figure>"
            for name, figure in self.items()
        )


@dataclass(frozen=True)
class Measure:
    """A measured value, its standard error, its unit and its kind (an exact value, a bound, an estimate, a statistic, ...)."""

    value: float
    stderr: float | None
    """None for a value without an error, such as a count."""
    unit: str
    kind: str

    def __str__(self) -> str:
        text = plain(rounded(self.value, self.stderr))
        return f"{text} {self.unit}".rstrip()

    def __float__(self) -> float:
        return self.value


class Measures(Named[Measure]):
    """Measures by name, as metrics.json has them. A notebook shows a table; `pandas.DataFrame(measures.rows())` takes them."""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Measures":
        """From the content of metrics.json; what is no measure is left out."""
        entries = {name: entry for name, entry in found.items() if isinstance(entry, Mapping) and "value" in entry}
        return cls(
            {
                name: Measure(
                    float("nan") if entry["value"] is None else float(entry["value"]),
                    None if entry.get("stderr") is None else float(entry["stderr"]),
                    str(entry.get("unit") or ""),
                    str(entry.get("kind") or ""),
                )
                for name, entry in entries.items()
            }
        )

    def rows(self) -> list[dict[str, object]]:
        """A mapping a measure: name, value, stderr, unit, kind."""
        return [{"name": name, **vars(measure)} for name, measure in self.items()]

    def __repr__(self) -> str:
        return "\n".join(f"{name:<32} {measure}" for name, measure in self.items()) or "no measures"

    def _repr_html_(self) -> str:
        rows = [
            (name, plain(rounded(measure.value, measure.stderr)), measure.unit, measure.kind)
            for name, measure in self.items()
        ]
        return html_table(("measure", "value ± standard error", "unit", "kind"), rows)


class History(Named[npt.NDArray[np.float64]]):
    """The records of a training by column, NaN where a record lacks one: `pandas.DataFrame(run.history)` takes it."""

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> "History":
        """From the lines of metrics.jsonl."""
        lines = list(records)
        names = dict.fromkeys(name for line in lines for name in line)
        nan = float("nan")

        def column(name: str) -> npt.NDArray[np.float64]:
            return np.array([v if isinstance(v := line.get(name), int | float) else nan for line in lines], dtype=float)

        return cls({name: column(name) for name in names})

    @property
    def records(self) -> int:
        """Number of records."""
        return len(next(iter(self.values()), ()))

    def last(self) -> dict[str, float]:
        """The newest value of each column."""
        found = {name: values[np.isfinite(values)] for name, values in self.items()}
        return {name: float(values[-1]) for name, values in found.items() if len(values)}

    def __repr__(self) -> str:
        return f"History({self.records} records of {', '.join(self)})"

    def _repr_html_(self) -> str:
        shown = range(self.records) if self.records <= 10 else [*range(5), *range(self.records - 5, self.records)]
        rows = [[f"{values[k]:.5g}" for values in self.values()] for k in shown]
        return f"{html_table(self, rows)}<p>{self.records} records</p>"


@dataclass(frozen=True, repr=False)
class Drawn:
    """Samples of a run, in the units of its data. numpy and torch take them as they are; a notebook shows them."""

    samples: Samples
    """As the model draws them: images in [0, 1], standardised columns."""
    data: DataSpec
    figure: Figure

    @cached_property
    def x(self) -> Tensor:
        """(n, *shape), on the CPU, in the units of the user's data."""
        return self.data.in_units(self.samples.x)

    @property
    def labels(self) -> npt.NDArray[np.generic] | None:
        """Class from which each is drawn, as the data name it, (n,); None without classes."""
        return None if self.samples.labels is None else named_labels(self.samples.labels, self.data)

    @property
    def chain(self) -> Tensor | None:
        """Number of the Markov chain of which each is a state, int64, (n,); None where all are independent."""
        return self.samples.chain

    def numpy(self) -> npt.NDArray[Any]:
        return self.x.numpy()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        found = self.numpy() if dtype is None else self.numpy().astype(dtype)
        return found.copy() if copy else found

    def __dlpack__(self, **how: Any) -> Any:
        return self.x.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, number = self.x.__dlpack_device__()
        return int(kind), int(number)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, which: Any) -> Tensor:
        return self.x[which]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.x)

    def save(self, path: str | Path) -> Path:
        """Write samples (and chain_number and labels) as a .npz file, which `genlab evaluate samples=FILE` reads."""
        target = Path(path).with_suffix(".npz")
        np.savez_compressed(target, **self.samples.arrays(self.data))  # type: ignore[arg-type]
        return target

    def __repr__(self) -> str:
        return f"Drawn({len(self)} samples of shape {tuple(self.x.shape[1:])})"

    def _repr_png_(self) -> bytes:
        return self.figure.data
