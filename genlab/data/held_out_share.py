"""How many examples are set aside for the test where the source has no test split, and whether they are enough to evaluate on."""

from math import ceil

LEAST = 10
"""Test examples that `genlab evaluate` compares samples with."""
ENOUGH = 20  # what is set aside of few examples, though no more than a quarter of them
SHARE = 10  # of many examples, one in so many


def usual(n: int) -> int:
    """Of n examples those that are set aside for the test where no number is named: a tenth; of few, 20 or a quarter."""
    return max(round(n / SHARE), min(ENOUGH, n // 4))


def said(n: int) -> str | None:
    """What a user should know of the `usual` number of n examples; None where it is a tenth."""
    count = usual(n)
    if count == round(n / SHARE):
        return None
    return (
        f"{count} of {n} examples are set aside for the test, as a tenth would be few; dataset.test=0.1 takes a tenth"
    )


def too_few(test: int, n: int, *, own: bool | None = None) -> str | None:
    """Why a test split cannot be evaluated on, and a value of dataset.test that can; None where it is large enough.

    It has `test` of n examples in all, and is the source's `own` or set aside; None where this is not known.
    """
    if test >= LEAST:
        return None
    tenths = ceil(10 * LEAST / n) if n else 10
    remedy = f"set dataset.test=0.{tenths}" if tenths <= 6 else "gather more examples"
    if own is None:
        remedy += " for a new training, or add examples where the data have a test split of their own"
    elif own:
        remedy = "add examples to it"
    return f"the test split has {test} examples, and genlab evaluate needs {LEAST} or more; {remedy}"
