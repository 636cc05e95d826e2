"""Which classes of a data set take part: those that dataset.classes keeps, without those that dataset.exclude leaves out.

A class is named as the data name it (galaxy; 3; -1), or by its number 0..K-1 where no name is a whole number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from genlab.data.class_labels import unless_numbers
from genlab.data.dataset import RawData
from genlab.data.examples import Examples
from genlab.data.labels import UNLABELLED
from genlab.errors import GenlabError, did_you_mean

Word = int | float | bool | str
MOST_NAMED = 12  # in a message
MOST_COUNTED = 10  # in a line


@dataclass(frozen=True)
class LeftOut:
    """Examples of the classes that dataset.exclude left out of all splits."""

    examples: Examples
    names: tuple[str, ...]
    """Of these classes."""


def choose(
    raw: RawData, classes: Sequence[Word] | None, exclude: Sequence[Word] | None
) -> tuple[RawData, LeftOut | None]:
    """`raw` with the classes that take part, and what `exclude` left out of its test split (of all data, where it has none).

    The kept `classes` are then all classes there are, with numbers from 0. Without `exclude` the others keep their numbers.

    Raises GenlabError where a class does not exist, none is left, or one is both kept and left out.
    """
    if classes is None and exclude is None:
        return raw, None
    names = _names(raw, *(("classes", classes) if classes is not None else ("exclude", exclude or ())))
    kept = None if classes is None else sorted(set(numbers_of(classes, names, "dataset.classes", raw.name)))
    out = [] if exclude is None else sorted(set(numbers_of(exclude, names, "dataset.exclude", raw.name)))
    present = set(range(len(names))) if kept is None else set(kept)
    if kept is not None and (both := [names[k] for k in out if k in present]):
        raise GenlabError(
            f"{_key('exclude', exclude)}: {_key('classes', classes)} keeps {', '.join(both)}, too; name a class in one of "
            "them only"
        )
    whole = raw
    if out:
        if _present(raw) <= set(out):
            raise GenlabError(
                f"{_key('exclude', exclude)}: these are all classes of {raw.name}; leave some to train on"
            )
        raw = _only(raw, sorted(present - set(out)))
    elif kept is not None:
        raw = _only(raw, kept)
    if kept is not None:
        raw = _renumbered(raw, kept, names)
    if not out:
        return raw, None
    held_out = whole.train if whole.test is None else whole.test
    return raw, LeftOut(_part(held_out, out), tuple(names[k] for k in out))


def counts(raw: RawData, left_out: Sequence[str]) -> list[str]:
    """A line with the classes of `raw` that have names, and the number of their examples; none where they have no names."""
    if raw.class_names is None:
        return []
    labels = [split.y for split in (raw.train, raw.test) if split is not None and split.y is not None]
    found = torch.cat([y[y != UNLABELLED] for y in labels]).bincount(minlength=len(raw.class_names)).tolist()
    pairs = [f"{name} {n:,}" for name, n in zip(raw.class_names, found, strict=True) if n or name not in left_out]
    more = f" and {len(pairs) - MOST_COUNTED} more" if len(pairs) > MOST_COUNTED else ""
    without = f"; without {', '.join(left_out[:MOST_COUNTED])}" if left_out else ""
    return [f"classes: {', '.join(pairs[:MOST_COUNTED])}{more}{without}"]


def numbers_of(words: Sequence[Word], names: Sequence[str], key: str, whose: str) -> list[int]:
    """The class that each word names. Raises GenlabError, which names `key`, for one that names none."""
    place = {name.lower(): k for k, name in enumerate(names)} | {name: k for k, name in enumerate(names)}
    numbered = any(name.removeprefix("-").isdigit() for name in names)
    found = []
    for word in words:
        name = written(word)
        number = place.get(name, place.get(name.lower()))
        if number is None and not numbered and name.isdigit() and int(name) < len(names):
            number = int(name)
        if number is None:
            shown = names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], "...", names[-1]]
            close = did_you_mean(name, names).partition(";")[0] if not numbered else ""
            close = f"{close}; " if close.startswith("did you mean") else ""
            consecutive = tuple(names) == tuple(map(str, range(len(names))))
            which = f"0 to {len(names) - 1}" if consecutive else ", ".join(shown)
            raise GenlabError(
                f"{_key(key.removeprefix('dataset.'), words, key)}: {whose} has no class {name}; {close}its classes are {which}, "
                f"as in '{key}=[{','.join(names[:2])}]'"
            )
        found.append(number)
    return found


def written(word: Word) -> str:
    """A class as the user writes it, as the data name it: 3.0 is 3."""
    if isinstance(word, bool):
        return str(word).lower()
    return f"{word:.15g}" if isinstance(word, float) else str(word).strip()


def _key(key: str, words: Sequence[Word] | None, whole: str = "") -> str:
    return f"{whole or 'dataset.' + key}=[{','.join(map(written, words or ()))}]"


def _names(raw: RawData, key: str, words: Sequence[Word]) -> tuple[str, ...]:
    if raw.train.y is None or raw.num_classes is None:
        raise GenlabError(f"{_key(key, words)}: {raw.name} has no labels; set dataset.{key}=null")
    return raw.class_names or tuple(map(str, range(raw.num_classes)))


def _present(raw: RawData) -> set[int]:
    assert raw.train.y is not None
    return set(raw.train.y.unique().tolist()) - {UNLABELLED}


def _part(examples: Examples, classes: Sequence[int]) -> Examples:
    assert examples.y is not None, "a test split has labels where the training split has them"
    return examples.subset(torch.isin(examples.y, torch.tensor(classes)).nonzero().squeeze(1))


def _only(raw: RawData, classes: Sequence[int]) -> RawData:
    # What is known of all classes together does not hold for a part of them.
    test = None if raw.test is None else _part(raw.test, classes)
    return replace(raw, train=_part(raw.train, classes), test=test, truth=None)


def _renumbered(raw: RawData, kept: Sequence[int], names: Sequence[str]) -> RawData:
    number = torch.full((len(names),), UNLABELLED)
    number[torch.tensor(kept)] = torch.arange(len(kept))

    def of(examples: Examples) -> Examples:
        assert examples.y is not None
        return Examples(examples.x, number[examples.y])

    mine = tuple(names[k] for k in kept)
    test = None if raw.test is None else of(raw.test)
    return replace(raw, train=of(raw.train), test=test, num_classes=len(kept), class_names=unless_numbers(mine))
