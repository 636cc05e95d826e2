"""Short names of rows: the name that a run was given, or its model, and no more than tells the rows apart."""

from collections.abc import Collection, Mapping, Sequence

Settings = Mapping[str, str]

CHOICES = ("model", "dataset", "optimizer")
"""Groups of the configuration whose choice is a word that needs no key before it."""
NOTHING = ("", "null")
LONGEST_VALUE = 24  # characters of a value in a label; only what values have in common is left out beyond


def make_labels(settings: Sequence[Settings], names: Sequence[str], typed: Collection[str]) -> list[str]:
    """'vae', 'beta=4', 'gan, sgd': a label for each row of flat `settings`, all different.

    `names` are those that rows were given ('': none). Keys that somebody `typed` come before those that follow from others.
    """
    unnamed = [flat for flat, name in zip(settings, names, strict=True) if not name]
    heads = [name or _head(flat, unnamed) for flat, name in zip(settings, names, strict=True)]
    labels = list(heads)
    for head in dict.fromkeys(heads):
        alike = [k for k, other in enumerate(heads) if other == head]
        if len(alike) > 1:
            parts = _parts([settings[k] for k in alike], typed)
            alone = len(alike) == len(heads) and all(parts)  # what all rows have in common is said by the title
            for k, words in zip(alike, parts, strict=True):
                labels[k] = ", ".join(words if alone else [head, *words])
    return _distinct(labels)


def differences(settings: Sequence[Settings]) -> list[str]:
    """Keys in which rows differ. A key that only some models (data sets, optimizers) have counts where these differ in it."""
    keys = dict.fromkeys(key for flat in settings for key in flat)
    return [key for key in keys if _differs(key, settings)]


def short(key: str, keys: Sequence[str]) -> str:
    """The last part of a key where that is clear."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key


def _differs(key: str, settings: Sequence[Settings]) -> bool:
    if key.startswith("dataset.") or not all(key in flat for flat in settings):
        choice = key.partition(".")[0]
        within: dict[str | None, set[str]] = {}
        for flat in settings:
            within.setdefault(flat.get(choice), set()).add(_value(flat, key))
        return any(len(values) > 1 for values in within.values())
    return len({_value(flat, key) for flat in settings}) > 1


def _value(flat: Settings, key: str) -> str:
    """A key that is absent has no value, as one that is null."""
    found = flat.get(key, "")
    return "" if found in NOTHING else found


def _head(flat: Settings, rows: Sequence[Settings]) -> str:
    """The model and the data set, as far as rows differ in them."""
    varied = [key for key in ("model", "dataset") if len({row[key] for row in rows}) > 1]
    return ", ".join(flat[key] for key in varied or ["model"])


def _parts(settings: Sequence[Settings], typed: Collection[str]) -> list[list[str]]:
    """For each row the values of the fewest keys that tell the rows apart."""
    varied = differences(settings)
    ranked = sorted(varied, key=lambda key: (key not in CHOICES, key not in typed))
    kept: list[str] = []
    for key in ranked:
        if _classes(settings, [*kept, key]) > _classes(settings, kept):
            kept.append(key)
    for key in list(kept):
        others = [other for other in kept if other != key]
        if _classes(settings, others) == _classes(settings, kept):
            kept = others
    kept = [key for key in varied if key in kept]
    shown = {key: _shortened({_value(flat, key) for flat in settings}) for key in kept}
    return [
        [
            shown[key][value] if key in CHOICES else f"{short(key, varied)}={shown[key][value]}"
            for key in kept
            if (value := _value(flat, key))
        ]
        for flat in settings
    ]


def _classes(settings: Sequence[Settings], keys: Sequence[str]) -> int:
    return len({tuple(_value(flat, key) for key in keys) for flat in settings})


def _shortened(values: Collection[str]) -> dict[str, str]:
    """Values -> themselves, or without the start and the end that long ones have in common."""
    present = [value for value in values if value]
    if all(len(value) <= LONGEST_VALUE for value in present) or len(present) < 2:
        return {value: value for value in values}
    start = _common(present)
    end = _common([value[start:][::-1] for value in present])
    found = {}
    for value in present:
        last = len(value) - end
        found[value] = ("…" if start > 1 else value[:start]) + value[start:last] + ("…" if end > 1 else value[last:])
    return {value: found.get(value, value) for value in values}


def _common(texts: Sequence[str]) -> int:
    """Number of characters at the start that all texts share."""
    shortest = min(texts, key=len)
    return next((k for k, sign in enumerate(shortest) if any(text[k] != sign for text in texts)), len(shortest))


def _distinct(labels: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    distinct = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        distinct.append(f"{label} #{seen[label]}" if labels.count(label) > 1 else label)
    return distinct
