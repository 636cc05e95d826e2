"""python -m tests.kills [VARIANT ...] --kills 20: kill trainings and resume them (make kills [ARGS="vae rbm --kills 50"]).

After every resume that reaches the end, parameters, state of the optimizers, records, pictures and curves must be those of the
undisturbed run, but for times.
"""

import argparse
import contextlib
import importlib
import io
import os
import shutil
import sys
import tempfile
from fnmatch import filter as matching
from pathlib import Path

import torch

from genlab.cli import main as genlab
from tests.kills.campaign import campaign
from tests.kills.comparison import differences
from tests.kills.variants import SHORT, VARIANTS


def warm_up() -> None:
    """Train once in this process, so that those which are forked from it find everything imported."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        code = genlab(["train", *SHORT, *VARIANTS["vae"], f"hydra.run.dir={folder}/run"])
        assert code == 0
        differences(Path(folder) / "run", Path(folder) / "run")
    importlib.import_module("genlab.commands.resume")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("variants", nargs="*", metavar="variant", help="names or patterns as vae*; all by default")
    parser.add_argument("--kills", type=int, default=20, help="of each variant; 0: compare two undisturbed runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="in all variants")
    parser.add_argument("--folder", type=Path, help="keep the runs that differ there")
    options = parser.parse_args()
    chosen = [name for pattern in options.variants or ["*"] for name in matching(VARIANTS, pattern)]
    if not chosen:
        parser.error(f"no variant of this name; there are: {', '.join(VARIANTS)}")
    torch.set_num_threads(1)
    warm_up()
    kills = runs = faults = 0
    kinds: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as data:
        os.environ["GENLAB_DATA"] = data  # the Monte Carlo of spins leaves its configurations there
        for name in chosen:
            folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=options.folder))
            found = campaign(name, options.kills, options.seed, folder, options.set)
            if not found.faults or options.folder is None:
                shutil.rmtree(folder)
            killed = sum(found.kills.values())
            kills, runs, faults = kills + killed, runs + found.runs, faults + len(found.faults)
            kinds = {kind: kinds.get(kind, 0) + found.kills.get(kind, 0) for kind in {**kinds, **found.kills}}
            print(
                f"{name}: {killed} kills, {found.runs} runs, {len(found.faults)} differ ({found.seconds:.0f} s)",
                flush=True,
            )
            for fault in found.faults:
                print(f"    {fault}", flush=True)
    by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(f"{kills} kills ({by_kind}) of {runs} runs of {len(chosen)} variants; {faults} runs differ")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
