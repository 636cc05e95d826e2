"""What a model must know of its data, and nothing more."""

from dataclasses import asdict, dataclass, field
from math import inf, prod
from typing import Any, Literal, get_args

from torch import Tensor

from genlab.data.shapes import COLOURS, Kind
from genlab.data.units import Units

Support = Literal["binary", "unit", "real"]


@dataclass(frozen=True)
class DataSpec:
    """The contract between data and model.

    Data crosses the border in its own support as float32; any rescaling is private to the family.
    """

    name: str
    """Name of the data set, for titles and messages."""
    shape: tuple[int, ...]
    """Shape of one example: (channels, height, width) for images, (channels, points) for curves, (features,) for vectors."""
    support: Support
    """Values that a component takes: {0, 1}, [0, 1] or the real line."""
    levels: int | None
    """Number of equally spaced grey values v/(levels - 1) in [0, 1]; None where the data are continuous or binary."""
    num_classes: int | None
    """Number of classes; None for unlabelled data."""
    low: float
    """Smallest value in the training split."""
    high: float
    """Largest value in the training split."""
    mean: Tensor = field(compare=False, repr=False)
    """Mean of the training split, of shape `shape`."""
    std: Tensor = field(compare=False, repr=False)
    """Standard deviation of the training split, of shape `shape`."""
    class_names: tuple[str, ...] | None = None
    """What the user calls the classes, num_classes of them; None where their numbers are their names."""
    component_names: tuple[str, ...] | None = None
    """What the user calls the components of a vector, such as the columns of a table; None where they have no names."""
    units: Units | None = field(default=None, compare=False, repr=False)
    """From the values that models see to those of the user; None where they are the same."""

    def in_units(self, x: Tensor) -> Tensor:
        """Examples x (n, *shape) in the units of the user: float64 where these differ, and else x itself."""
        return x if self.units is None else self.units.outer(x)

    def from_units(self, v: Tensor) -> Tensor:
        """Examples v (n, *shape) in the units of the user as models see them: float32 where these differ, and else v itself."""
        return v if self.units is None else self.units.inner(v).float()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, num_classes of them; their numbers where they have no names, none for unlabelled data."""
        return self.class_names or tuple(map(str, range(self.num_classes or 0)))

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def is_curve(self) -> bool:
        return len(self.shape) == 2

    @property
    def on_grid(self) -> bool:
        """Whether neighbouring components belong together, as in curves and images."""
        return len(self.shape) > 1

    @property
    def kind(self) -> Kind:
        return "images" if self.is_image else "curves" if self.is_curve else "vectors"

    @property
    def own_scales(self) -> bool:
        """Whether channels are quantities of their own, as bands and curves are, and not the colours of one picture."""
        return self.is_curve or (self.is_image and self.shape[0] not in COLOURS)

    @property
    def dim(self) -> int:
        """Number of components D of one example."""
        return prod(self.shape)

    def state_dict(self) -> dict[str, Any]:
        """Plain containers and tensors, fit for a checkpoint that is loaded with weights_only=True."""
        return asdict(self)

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "DataSpec":
        """From what `state_dict` gave. Older runs call the number of classes `classes`, and have neither names nor units.

        Raises ValueError where it is something else.
        """
        named = {"num_classes" if name == "classes" else name: value for name, value in state.items()}
        named["shape"] = tuple(state["shape"])
        for key in ("class_names", "component_names"):
            named[key] = None if named.get(key) is None else tuple(map(str, named[key]))
        if named.get("units") is not None:
            named["units"] = Units.from_state_dict(named["units"], named["shape"])
        spec = cls(**named)
        if spec.class_names is not None and len(spec.class_names) != spec.num_classes:
            raise ValueError(f"{len(spec.class_names)} names of {spec.num_classes} classes are of no data")
        counts = [*spec.shape, *(n for n in (spec.levels, spec.num_classes) if n is not None)]
        if not 1 <= len(spec.shape) <= 3 or any(type(n) is not int or n < 1 for n in counts) or spec.levels == 1:
            raise ValueError(f"shape {spec.shape}, {spec.levels} levels and {spec.num_classes} classes are of no data")
        if (
            spec.support not in get_args(Support)
            or not -inf < spec.low <= spec.high < inf
            or bool((spec.std < 0).any())
        ):
            raise ValueError(f"support {spec.support} from {spec.low} to {spec.high} is of no data")
        return spec

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            assert getattr(self, name).shape == self.shape, f"{name} has the wrong shape"
