"""The table of `genlab runs`: as many columns as the screen is wide enough for, and the jobs of a sweep together."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len, set_cell_size

from genlab.metrics.rounding import rounded
from genlab.report.measures import COST, definition
from genlab.report.run_filters import ORDERS, STATES
from genlab.report.run_list import RunRecord
from genlab.tracking.untrusted import printable

GAP = 2  # characters between columns
LONGEST = {"run": 34, "model": 16, "data": 16, "tags": 24, "note": 60}  # characters
NARROW = 24  # characters of a run where the screen has less than a hundred
LEAST_NOTE = 16  # characters
MOST_RESULTS = 4
DATED = re.compile(r"\d{4}-(\d\d-\d\d_\d\d-\d\d-\d\d)(?!\d)")
PREFERRED = ("fid", "accuracy", "coverage", "reconstruction_mse", "test/elbo", "test/loss", "eval/loss", "train/loss")
"""Results that are shown first, after a likelihood; of an evaluation, or else of the training."""


@dataclass(frozen=True)
class Column:
    title: str
    cell: Callable[[RunRecord], str]
    right: bool = False


def lines(runs: Sequence[RunRecord], every: Sequence[RunRecord], width: int, sort: str | None = None) -> list[str]:
    """A line for each of `runs`, with titles above and a count below; `every` are those among which a short name must be unique.

    Without `sort` the jobs of a sweep stand below a line of their own.
    """
    ids = short_names(every)
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(str(run.sweep) if run.sweep is not None and sort is None else str(run.path), []).append(run)
    indented = {run.path for group in groups.values() if group[0].sweep is not None and sort is None for run in group}

    def name(run: RunRecord) -> str:
        return f"  {run.path.name}" if run.path in indented else ids[str(run.path)]

    columns = _columns(runs, name, sort)
    texts = {column.title: {run.path: _line(column.cell(run)) for run in runs} for column in columns}
    widths, left_out = _fitting(texts, [column.title for column in columns[7:-2]], width)
    columns = [column for column in columns if column.title in widths]

    def row(run: RunRecord) -> str:
        return _row([(texts[column.title][run.path], widths[column.title], column.right) for column in columns])

    found = [_row([(printable(column.title), widths[column.title], column.right) for column in columns])]
    for key, group in groups.items():
        if group[0].path in indented:
            found.append(_cut(f"sweep {key}: {len(group)} jobs, {count_states(group)}", width))
            group = sorted(group, key=lambda run: _number(run.path.name))
        found += map(row, group)
    found.append(f"{len(runs):,} of {len(every):,} runs: {count_states(runs)}")
    if sort is not None and (data := of_several_data(runs, sort)):
        found.append(
            _cut(
                f"{sort.lstrip('+-')} is of {', '.join(data)}, which do not compare: dataset={data[0]} shows one", width
            )
        )
    if left_out:
        found.append(_cut(f"--json has everything; on a wider screen also: {', '.join(left_out)}", width))
    return found


def of_several_data(runs: Sequence[RunRecord], sort: str) -> list[str]:
    """The data sets that a ranking by a measure mixes; none where it is of one, or the order is of something else."""
    name = sort.lstrip("+-")
    if name in ORDERS:
        return []
    known = [run for run in runs if run.value(name) is not None]
    data = list(dict.fromkeys(run.dataset for run in known))
    ranks = definition((known[0].full_name(name) or name).rpartition("/")[2]).group != COST if known else False
    return data if ranks and len(data) > 1 else []


def short_names(runs: Sequence[RunRecord]) -> dict[str, str]:
    """Path -> what one may type for this run: its name, the date in its folder's, or as much of its path as it takes."""
    kinds: list[Callable[[RunRecord], str]] = [
        lambda run: run.name or "",
        lambda run: match[1] if (match := DATED.match(run.path.name)) else "",
        lambda run: run.path.name if run.sweep is None else "",
        lambda run: f"{run.path.parent.name}/{run.path.name}",
    ]
    found = {str(run.path): str(run.path) for run in runs}
    for kind in reversed(kinds):
        counts = Counter(kind(run) for run in runs)
        found |= {str(run.path): kind(run) for run in runs if kind(run) and counts[kind(run)] == 1}
    return found


def count_states(runs: Sequence[RunRecord]) -> str:
    """'5 finished, 1 failed'."""
    counts = Counter(run.state for run in runs)
    return ", ".join(
        f"{counts[state]:,} {state}" for state in (*STATES, *sorted(set(counts) - set(STATES))) if counts[state]
    )


def _columns(runs: Sequence[RunRecord], name: Callable[[RunRecord], str], sort: str | None) -> list[Column]:
    """All columns in their order on the screen."""

    def result(key: str) -> Callable[[RunRecord], str]:
        return lambda run: _result(run, key)

    return [
        Column("run", name),
        Column("state", lambda run: run.state),
        Column("model", lambda run: run.model),
        Column("data", lambda run: run.dataset),
        Column("age", lambda run: duration(run.age), right=True),
        Column("time", lambda run: duration(run.seconds), right=True),
        Column("examples", lambda run: "" if run.examples is None else f"{run.examples:,}", right=True),
        *(Column(key, result(key), right=True) for key in headlines(runs, sort)),
        Column("tags", lambda run: ",".join(run.tags)),
        Column("note", lambda run: run.note or (run.error or "" if run.state == "failed" else "")),
    ]


def headlines(runs: Sequence[RunRecord], sort: str | None) -> list[str]:
    """Names of the results to show: the one that is sorted by, then those that most of the runs have, likelihoods first."""
    key = (sort or "").lstrip("+-")
    own = [key] if any(run.full_name(key) for run in runs) and key not in ("examples",) else []
    counts: Counter[str] = Counter()
    for run in runs:
        likelihoods = [name for name in run.entries if name.startswith("log_likelihood") or name == "elbo"][-1:]
        shown = [*likelihoods, *(name for name in PREFERRED if name in run.entries)]
        counts.update(shown[:3])
    rest = [name for name, _ in counts.most_common() if name not in own and not (own and name.endswith(f"/{key}"))]
    return [*own, *rest][:MOST_RESULTS]


def _fitting(
    texts: Mapping[str, Mapping[Path, str]], results: Sequence[str], width: int
) -> tuple[dict[str, int], list[str]]:
    """Width of each column for which there is room, the more important first, and titles of the others that are not empty.

    `texts` are the cells of each column by its title; `results` are the titles of those that show results.
    """
    order = ["run", "state", "model", "data", *results[:1], "age", "time", "tags", *results[1:2], "examples", "note"]
    order += results[2:]
    widths: dict[str, int] = {}
    left_out, taken = [], -GAP
    for title in order:
        longest = max(map(cell_len, texts[title].values()), default=0)
        if not longest:
            continue
        most = NARROW if title == "run" and width < 100 else LONGEST.get(title, 99)
        needs = max(cell_len(title), min(longest, most))
        left = width - taken - GAP
        if title == "note" and left >= LEAST_NOTE:
            needs = min(needs, left)
        if needs <= left or title == "run":
            taken += needs + GAP
            widths[title] = needs
        else:
            left_out.append(title)
    return widths, left_out


def _line(text: str) -> str:
    return text if text.isprintable() else " ".join(text.split())


def _row(cells: Sequence[tuple[str, int, bool]]) -> str:
    """Texts, each in so many columns of the screen, and whether it stands at the right of them."""
    parts = []
    for text, room, right in cells:
        text = _cut(text, room)
        space = (room - cell_len(text)) * " "
        parts.append(space + text if right else text + space)
    return (GAP * " ").join(parts).rstrip()


def _cut(text: str, room: int) -> str:
    return text if cell_len(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"


def _result(run: RunRecord, key: str) -> str:
    number = rounded(*(run.measure(key) or (None,)))
    return "" if number is None else number.value + (f"e{number.exponent:+03d}" if number.exponent else "")


def duration(seconds: float | None) -> str:
    """'12 s', '3.5 min', '2 h', '5 d'."""
    if seconds is None:
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            number = seconds / size
            return f"{number:.1f} {unit}" if number < 9.95 else f"{number:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"


def size(amount: float) -> str:
    """Bytes as '12 kB', '3.4 MB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:,.0f} {unit}" if amount >= 10 or unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the last unit takes all")


def _number(name: str) -> int:
    head = name.partition("_")[0]
    return int(head) if head.isdigit() else 0
