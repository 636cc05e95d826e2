"""Numbers as a report prints them: rounded to their error (two significant digits of it), digits in groups of three.

`-22.6184 ± 0.2131` becomes `-22.62 ± 0.21`; `12345.6 ± 561` becomes `12,350 ± 560`; very small and very large numbers share
a power of ten. What is not a finite number is a dash, never `nan`.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

DASH = "—"
DIGITS_OF_ERROR = 2
DIGITS_WITHOUT_ERROR = 4
SMALLEST_ERROR = 1e-6  # of the value


@dataclass(frozen=True)
class Number:
    """(value ± error) x 10^exponent, already rounded."""

    value: str
    error: str | None = None
    exponent: int = 0


def rounded(value: float | None, error: float | None = None) -> Number | None:
    """Round `value` to its `error`, or to four significant digits where there is none; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    if error is not None and not (math.isfinite(error) and error >= 0):
        error = None
    if error is not None and error < SMALLEST_ERROR * abs(value):
        error = 0.0  # what is left of a sum of equal numbers
    exact, spread = Decimal(repr(float(value))), Decimal(repr(float(error or 0.0)))
    if spread:
        spread = _significant(_significant(spread, DIGITS_OF_ERROR), DIGITS_OF_ERROR)  # 0.0996 -> 0.100 -> 0.10
        place = _exponent(spread)
    elif exact == exact.to_integral_value() and abs(exact) < Decimal(10) ** 12:
        place = 0
    else:
        place = min(_exponent(_significant(exact, DIGITS_WITHOUT_ERROR)), 0)
        place = max(place, _exponent(exact))  # no zeros that were never measured
    largest = max(exact.adjusted() if exact else place, spread.adjusted() if spread else place)
    shift = largest if largest >= 9 or largest < -4 else 0
    exact, spread, place = exact.scaleb(-shift), spread.scaleb(-shift), place - shift
    return Number(_fixed(exact, place), None if error is None else _fixed(spread, place) if spread else "0", shift)


def plain(number: Number | None, minus: str = "-") -> str:
    """As text: `-22.62 ± 0.21`, or `(1.20 ± 0.11)e-05`."""
    if number is None:
        return DASH
    text = number.value if number.error is None else f"{number.value} ± {number.error}"
    if number.exponent:
        text = f"{f'({text})' if number.error is not None else text}e{number.exponent:+03d}"
    return text.replace("-", minus)


def latex(number: Number | None, mark: str = "") -> str:
    """As LaTeX mathematics: `$-22.62 \\pm 0.21$`; `mark` is one of best, tie and nothing."""
    if number is None:
        return "--"
    value, error = (text.replace(",", "{,}") if text else text for text in (number.value, number.error))
    body = f"{value}" if error is None else f"{value} \\pm {error}"
    if number.exponent:
        body = (f"({body})" if error is not None else body) + f" \\times 10^{{{number.exponent}}}"
    if mark == "best":
        return f"$\\boldsymbol{{{body}}}$"
    return f"${body}$" + (r"\,$\approx$" if mark == "tie" else "")


def _significant(number: Decimal, digits: int) -> Decimal:
    if not number:
        return number
    return number.quantize(Decimal(1).scaleb(number.adjusted() - digits + 1), rounding=ROUND_HALF_EVEN)


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "finite"
    return exponent


def _fixed(number: Decimal, place: int) -> str:
    text = f"{number.quantize(Decimal(1).scaleb(place), rounding=ROUND_HALF_EVEN):,.{max(-place, 0)}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text  # no minus before zero
