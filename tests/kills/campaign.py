"""One variant of a campaign: an undisturbed run, and runs that are killed again and again and resumed in between."""

import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.kills.comparison import differences
from tests.kills.forks import Moment, fork
from tests.kills.variants import SHORT, STARTS, VARIANTS

MOST_FAULTS = 3  # of a variant, which then are enough to find what is wrong
IN_A_ROW = 10  # kills of one run, before it is left to end


@dataclass
class Found:
    """What became of the runs of a variant."""

    variant: str
    kills: dict[str, int] = field(default_factory=dict)
    """Kind of moment -> kills."""
    runs: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def campaign(variant: str, kills: int, seed: int, folder: Path, overrides: Sequence[str] = ()) -> Found:
    """Kill runs of `variant` until there were `kills` kills; each run is compared with the undisturbed one once it has ended.

    Without kills the undisturbed one is compared with another one.
    """
    found, arguments = Found(variant), ["train", *SHORT, *VARIANTS[variant], *overrides, "hydra.run.dir=run"]
    if variant in STARTS:
        fork(["train", *SHORT, *STARTS[variant], "hydra.run.dir=run"], folder / "start")
    undisturbed = folder / "undisturbed"
    began = time.perf_counter()
    if fork(arguments, undisturbed) != 0:
        found.faults.append(f"undisturbed: {_last_line(undisturbed)}")
        return found
    seconds = time.perf_counter() - began
    events, late = map(int, (undisturbed / "events.txt").read_text().split())
    records = len((undisturbed / "run" / "metrics.jsonl").read_text().splitlines())
    draw = random.Random(f"{seed} {variant}")
    moments = _moments(draw, events, late, records, seconds)
    while (not found.runs or sum(found.kills.values()) < kills) and len(found.faults) < MOST_FAULTS:
        found.runs += 1
        place, history = folder / f"killed{found.runs}", list[Moment]()
        code: int | None = None
        for _ in range(min(IN_A_ROW, kills - sum(found.kills.values()))):
            moment = next(moments)
            code = fork(_next_command(arguments, place), place, moment)
            if code is not None:  # it came to its end before that moment
                break
            history.append(moment)
            found.kills[moment.kind] = found.kills.get(moment.kind, 0) + 1
        if code is None:
            code = fork(_next_command(arguments, place), place)
        if code != 0:
            found.faults.append(f"{history}: exit code {code}: {_last_line(place)}")
            continue
        wrong = differences(place / "run", undisturbed / "run")
        if wrong:
            found.faults.append(
                f"{history}: {'; '.join(wrong[:6])}" + (f" and {len(wrong) - 6} more" if len(wrong) > 6 else "")
            )
        else:
            shutil.rmtree(place)
    found.seconds = time.perf_counter() - began
    return found


def _next_command(arguments: list[str], place: Path) -> list[str]:
    """What a user would type next: resume, or the same once more where nothing had begun."""
    run = place / "run"
    begun = (run / "run.json").exists() and (run / "config.yaml").exists()
    return ["resume", "run"] if begun else arguments


def _moments(draw: random.Random, events: int, late: int, records: int, seconds: float) -> Iterator[Moment]:
    """Every kind in turns; the first ones begin at the start and go on to the end."""
    yield Moment("event", 1)
    yield Moment("event", 2)
    while True:
        yield Moment("checkpoint", draw.randint(1, 3), draw.random())
        yield Moment("event", draw.randint(1, 1 + events // 4))
        yield Moment("record", draw.randint(1, 1 + records // 3), draw.random())
        yield Moment("end", draw.randint(1, late))
        yield Moment("time", draw.uniform(0, seconds / 2))
        yield Moment("end", draw.randint(max(1, late - 3), late))
        yield Moment("event", draw.randint(1, 1 + events // 4))
        yield Moment("curve", draw.randint(1, 1 + records), draw.random())
        yield Moment("end", draw.randint(1, 4))
        yield Moment("event", draw.randint(1, events))


def _last_line(folder: Path) -> str:
    return ((folder / "said.txt").read_text().splitlines() or [""])[-1]
