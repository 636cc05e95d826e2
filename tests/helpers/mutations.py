"""Damaged and crafted run folders, and genlab run on them in forked children, which need no seconds to import torch.

python -m tests.helpers.mutations 2000 [SEED]     the campaign: a table, and every answer that is none
"""

import copy
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from genlab.cli import main
from tests.helpers.processes import Outcome

SHORT = ["train.examples=512", "train.batch_size=64", "train.log_every=128", "device=cpu", "device.threads=1"]
# fmt: off
VARIANTS = {
    "vae": ["model=vae", "model.hidden=[16]", "model.latent_dim=2", "model.network=mlp"],
    "rbm": ["model=rbm", "model.hidden=16"],
    "classifier": ["model=classifier", "model.network=ffnn", "model.hidden=[16]"],
    "gan": ["model=gan", "model.network=mlp", "model.hidden=[16]"],
    "pca": ["model=pca"],
    "points": ["model=flow_matching", "dataset=toy2d", "dataset.size=900", "dataset.test=100", "dataset.validation=50",
               "model.hidden=[16]"],
}
# fmt: on
"""Families of every kind, as small as they come."""

SECONDS = 60
"""Of a processor: a command that takes longer counts as a hang; and one that waits ten times as long."""
MEMORY = 6 << 30
"""Bytes that a command may reserve beyond what it starts with: a size that a file claims must not be believed."""


def run_forked(arguments: list[str], folder: Path) -> Outcome:
    """`genlab ARGUMENTS` in a forked child in `folder`; the code of a child that a signal ended is negative."""
    out, err = folder / ".out", folder / ".err"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.chdir(folder)
            for path, number in ((out, 1), (err, 2)):
                os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            signal.alarm(10 * SECONDS)
            code = main(arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return Outcome(os.waitstatus_to_exitcode(status), out.read_text(errors="replace"), err.read_text(errors="replace"))


def answers_well(outcome: Outcome) -> bool:
    """A correct run, or one line and exit code 2."""
    if outcome.code == 2:
        return outcome.err.startswith("genlab: error: ") and outcome.err.count("\n") == 1
    return outcome.code == 0


def make_runs(folder: Path, variants: tuple[str, ...] = tuple(VARIANTS)) -> dict[str, Path]:
    """A run of each variant, stopped in its middle and evaluated."""
    runs: dict[str, Path] = {}
    here = Path.cwd()
    for name in variants:
        run = folder / name
        os.chdir(folder)
        try:  # in this process: what is imported here, its children have
            assert main(["train", *SHORT, *VARIANTS[name], f"hydra.run.dir={run}"]) == 0
            for what in ("evaluate", "sample", "compare") if not runs else ("evaluate",):
                assert main(command(what, run)) == 0
        finally:
            os.chdir(here)
        info = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**info, "state": "interrupted"}))
        runs[name] = run
    return runs


def command(name: str, run: Path) -> list[str]:
    """The words of a command on a run, with little to do."""
    few = ["n=20", "k=2", "ais.chains=5", "ais.temperatures=10", "ais.sweeps=2"]
    return {
        "sample": ["sample", f"run={run}", "n=4", "hydra.run.dir=out", "device=cpu"],
        "evaluate": ["evaluate", f"run={run}", *few, "device=cpu"],
        "resume": ["resume", str(run)],
        "compare": ["compare", str(run), "--out", "out"],
    }[name]


def write_bomb(path: Path, side: int) -> None:
    """A PNG of a few bytes whose head says that it has side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


# Mutations

ODD: list[Any] = [
    None, True, 0, -1, 1, 2, 3.5, 1e-300, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30, "", "x", "1", "x" * 5000,
    "../../x", "/", "${oc.env:HOME}", "\x1b[31mred\x07", "a\nb", "<script>alert(1)</script>", "$x_{$", "\u202eabc", "nan", [], {},
    [None], [[1]], [1, 2, 3], {"a": 1}, "genlab.cli.main", "os.system", "torch.nn.Linear", "genlab.models.VAE",
]  # fmt: skip
"""Values to stand where others are expected."""


READ = {
    "sample": ("checkpoints/last.pt", "checkpoints/last.pt", "checkpoints/last.pt", "config.yaml", "run.json"),
    "evaluate": ("checkpoints/last.pt", "checkpoints/last.pt", "checkpoints/last.pt", "evaluation/evaluation.json"),
    "resume": (
        "checkpoints/last.pt",
        "checkpoints/last.pt",
        "config.yaml",
        "run.json",
        "metrics.jsonl",
        "tensorboard/*",
    ),
    "compare": ("config.yaml", "run.json", "*.json*", "evaluation/*.json", "evaluation/*.png", ".hydra/*"),
}
"""Where most mutations are: the files that a command reads."""


def mutate(run: Path, name: str, dice: random.Random) -> str:
    """Change something in the run folder on which the command `name` is to work; returns what, in words."""
    pattern = dice.choice(READ[name]) if dice.random() < 0.85 else "**/*"
    path = dice.choice(sorted(path for path in run.glob(pattern) if path.is_file() and path.name != ".lock"))
    place = str(path.relative_to(run))
    if dice.random() < 0.15:
        return f"configuration, in all files: {craft_configuration(run, dice)}"
    if path.suffix in (".pt", ".yaml", ".json") and dice.random() < 0.7:
        return f"{place}: {craft_file(path, dice)}"
    return f"{place}: {_damaged(path, dice)}"


def _damaged(path: Path, dice: random.Random) -> str:
    content = bytearray(path.read_bytes())
    kind = dice.choice(["bits", "bits", "cut", "doubled", "emptied", "removed", "noise", "zeros", "folder"])
    if kind == "removed":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        if kind == "bits" and content:
            for _ in range(dice.choice([1, 3, 100])):
                content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        content = {
            "bits": content,
            "cut": content[: dice.randrange(len(content) + 1)],
            "doubled": content * 2,
            "emptied": bytearray(),
            "noise": bytearray(dice.randbytes(len(content))),
            "zeros": bytearray(len(content)),
        }[kind]
        path.write_bytes(content)
    return kind


def craft_file(path: Path, dice: random.Random) -> str:
    """Another value, a key less or a key more, in a file that is still well-formed."""
    content, write = _open(path)
    for _ in range(dice.choice([1, 1, 1, 3])):
        content, what = _changed(content, dice)
    write(content)
    return what


def _open(path: Path) -> tuple[Any, Callable[[Any], object]]:
    if path.suffix == ".pt":
        return torch.load(path, weights_only=True), lambda content: torch.save(content, path)
    if path.suffix == ".json":
        return json.loads(path.read_text()), lambda content: path.write_text(json.dumps(content))
    return yaml.safe_load(path.read_text()), lambda content: path.write_text(yaml.safe_dump(content))


def craft_configuration(run: Path, dice: random.Random) -> str:
    """The same change of the configuration in config.yaml and in the checkpoints: only the values can tell."""
    config, write = _open(run / "config.yaml")
    config, what = _changed(config, dice)
    write(config)
    for path in run.glob("checkpoints/*.pt"):
        state, save = _open(path)
        save({**state, "config": config})
    return what


def _changed(content: Any, dice: random.Random) -> tuple[Any, str]:
    """`content` with one place in it changed, and what was changed."""
    content = copy.deepcopy(content)
    place, holder, key = "", None, None
    value = content
    while isinstance(value, dict | list) and value and (holder is None or dice.random() < 0.85):
        holder, key = value, dice.choice(list(value) if isinstance(value, dict) else range(len(value)))
        place, value = f"{place}.{key}", value[key]
    if holder is None or key is None:
        return dice.choice(ODD), "the whole content"
    kind = dice.random()
    if kind < 0.15:
        del holder[key]
        return content, f"{place} removed"
    if kind < 0.2 and isinstance(holder, dict):
        holder[dice.choice(["x", "x.y", "", "\x1b]0;x\x07"])] = dice.choice(ODD)
        return content, f"a key beside {place}"
    holder[key] = new = (
        _tensor(value, dice) if isinstance(value, torch.Tensor) and dice.random() < 0.8 else dice.choice(ODD)
    )
    return content, f"{place} = {str(new)[:60]!r}"


def _tensor(value: torch.Tensor, dice: random.Random) -> torch.Tensor:
    filled = value.clone()
    if filled.is_floating_point() and filled.numel():
        filled.view(-1)[dice.randrange(filled.numel())] = dice.choice([float("nan"), float("inf"), -1e30, 1e38])
    return dice.choice(
        [
            filled,
            filled,
            value.to(torch.int64),
            value.double(),
            value.to(torch.bool),
            value.to(torch.complex64),
            value[:0] if value.ndim else value.reshape(1, 1),
            value.unsqueeze(0),
            value.flatten(),
            torch.zeros(()).expand(10**6, 10**6),
            torch.zeros(1).expand(2, 10**12),
            torch.empty(0),
            -value.to(torch.float32) * 1e30,
        ]
    )


def cases(runs: dict[str, Path], seed: int) -> Iterator[tuple[str, str, str, Outcome]]:
    """Without end: variant, mutation, command, and what the command answered."""
    dice = random.Random(seed)
    while True:
        variant = dice.choice([*list(runs)[:-1], *runs])  # the last one takes the longest
        name = dice.choice(["resume", "sample", "evaluate", "resume", "sample", "compare"])
        with tempfile.TemporaryDirectory() as place:
            run = Path(place) / "run"
            shutil.copytree(runs[variant], run)
            what = mutate(run, name, dice)
            yield variant, what, name, run_forked(command(name, run), Path(place))


def campaign(count: int, seed: int) -> int:
    torch.set_num_threads(1)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        runs = make_runs(Path(place))
        for number, (variant, what, name, outcome) in enumerate(cases(runs, seed), start=1):
            kind = {0: "ran", 2: "refused"}.get(outcome.code, "failed") if answers_well(outcome) else "failed"
            found[f"{name} {kind}"] += 1
            if kind == "failed":
                print(f"\n{variant}: {name}: {what}: exit code {outcome.code}\n{outcome.err[-1500:]}", flush=True)
            if number % 50 == 0:
                print(f"{number} so far: {json.dumps(dict(sorted(found.items())))}", flush=True)
            if number == count:
                break
    print(json.dumps(dict(sorted(found.items()))))
    return sum(count for name, count in found.items() if name.endswith("failed"))


if __name__ == "__main__":
    start = time.monotonic()
    failures = campaign(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"{sys.argv[1]} mutations, {failures} failures, {time.monotonic() - start:.0f} s")
