"""A long run: memory stays flat, and the folder grows by the records alone (conf/README.md states the rule)."""

import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from genlab.training.cadence import MOST_KEPT, Cadence
from tests.helpers.processes import end, environment, files, records, start

RECORDS, SETS = 10_000, 2_000


@pytest.mark.parametrize("sets", [5, 99, 100, 101, 1999])
@pytest.mark.parametrize("batch", [1, 128])
def test_at_most_a_hundred_sets_of_pictures_are_kept_evenly_spaced(sets: int, batch: int) -> None:
    length = 64 * (sets + 1)
    cadence = Cadence(log=64, eval=64, checkpoint=64, sample=range(64, length, 64))
    due = [cadence.due(seen, seen + batch) for seen in range(0, length - batch, batch)]
    shown = [i for i, names in enumerate(due) if "sample" in names]
    kept = [i for i, names in enumerate(due) if "keep" in names]
    assert set(kept) <= set(shown)
    assert min(len(shown), MOST_KEPT) / 2 <= len(kept) <= MOST_KEPT
    if sets <= MOST_KEPT:
        assert kept == shown
    assert len({b - a for a, b in pairwise(kept)}) <= 2  # a batch does not end where a set is due


def memory_of(process: "subprocess.Popen[str]") -> float:
    """Resident, in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("model", ["vae", "gan"])
def test_ten_thousand_records_and_two_thousand_sets_of_pictures(model: str, tmp_path: Path) -> None:
    size = 32
    words = [
        "train",
        f"model={model}",
        "model.hidden=[16]",
        "device.threads=1",
    ]
    words += [f"train.batch_size={size}", f"train.log_every={size}", f"train.examples={size * RECORDS}"]
    words += [f"train.sample_every={size * RECORDS // SETS}", "hydra.run.dir=run"]
    process = start(words, tmp_path, env=environment())
    run, memory = tmp_path / "run", list[tuple[int, float]]()
    while process.poll() is None:
        log = run / "metrics.jsonl"
        if log.exists():
            memory.append((log.stat().st_size, memory_of(process)))
        time.sleep(0.5)
    outcome = end(process)
    assert outcome.code == 0, outcome.err
    found = records(run)
    assert len(found) == RECORDS + 1  # that of the end is one of its own
    whole = memory[-1][0]
    early = max(mb for at, mb in memory if 0.1 * whole < at < 0.3 * whole)
    late = max(mb for at, mb in memory if 0.8 * whole < at < 0.98 * whole)
    at_the_end = max(mb for _, mb in memory)  # the film, the curves of all records, the test split
    sizes = {name: len(content) for name, content in files(run).items()}
    pictures = sum(n for name, n in sizes.items() if name.startswith("samples/")) / 2**20
    events = sum(n for name, n in sizes.items() if name.startswith("tensorboard/")) / 2**20
    print(
        f"\n{model}: {early:.0f} MB in memory after a fifth, {late:.0f} MB after nine tenths, "
        f"{at_the_end:.0f} MB while the end is drawn; {len(sizes)} files, "
        f"pictures {pictures:.1f} MB, metrics.jsonl {sizes['metrics.jsonl'] / 2**20:.1f} MB, tensorboard {events:.1f} MB"
    )
    assert late < early + 40  # 4 kB a record, or 20 kB a set of pictures, would show
    assert at_the_end < early + 200
    for name in {re.sub(r"_\d{10}", "", name) for name in sizes if re.search(r"_\d{10}\.png", name)}:
        dated = [other for other in sizes if re.fullmatch(rf"{re.escape(name[:-4])}_\d{{10}}\.png", other)]
        assert len(dated) <= MOST_KEPT + 1
    assert len(sizes) < 1000
    assert events * 2**20 < 2 * sizes["metrics.jsonl"] + 2 * pictures * 2**20 + MOST_KEPT * 2**20 / 10
