"""Types of values in a configuration, with their ranges. `check` (schema.py) reads them from the signatures of what is built."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
"""In [0, 1)."""
Fraction = Annotated[float, Field(gt=0, lt=1)]
"""In (0, 1)."""
Seed = Annotated[int, Field(ge=0)]
Widths = Annotated[list[Count], Field(min_length=1)]
"""Of layers, or channels of convolutions."""
