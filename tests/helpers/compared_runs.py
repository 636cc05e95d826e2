"""Run folders that are compared, written by hand, and what a comparison makes of them."""

import json
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from genlab.report.find import find_runs
from genlab.report.rows import Rows, make_rows
from genlab.report.tables import MetricTable, make_tables
from tests.helpers.processes import Outcome, call

GREY = "pixels of 256 grey levels, not dequantised"
BINARY = "probability of binary pixels"


def png(size: int = 4) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + bytes(size) for _ in range(size)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def make_run(
    folder: str,
    seed: int = 0,
    model: str = "vae",
    measures: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
    binarize: str = "dynamic",
    state: str = "finished",
    **keys: Any,
) -> Path:
    """A run folder as genlab train leaves it, and genlab evaluate where `measures` are given."""
    path = Path(folder)
    (path / "samples").mkdir(parents=True)
    (path / ".hydra").mkdir()
    config = {
        "seed": seed,
        "preferred": {"examples": 1000},
        "train": {"epochs": None, "examples": None, "batch_size": 128},
        "dataset": {"_target_": "genlab.data.sources.digits.digits", "binarize": binarize, "dequantize": False},
        "optimizer": {"_target_": "genlab.optimizers.adam", "lr": 0.002},
        "device": {"name": "cpu"},
        "model": {"_target_": f"genlab.models.{model}.{model.upper()}", "latent_dim": 20, **keys},
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    overrides = [f"model={model}", f"seed={seed}", *(f"model.{key}={value}" for key, value in keys.items())]
    (path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    info = {
        "state": state,
        "started": f"2026-11-22T17:06:{seed:02d}+00:00",
        "versions": {"genlab": "0.1.0", "torch": "2.9"},
        "git": {"commit": "ff856de38ab9e140", "modified": True},
        "command": ["genlab train", "-m"],
        "device": {"name": "cpu", "hardware": "x86_64", "threads": 1},
        "cost": {"seconds": 5.0 + seed, "examples": 1000, "parameters": 76104},
        "results": {"test/elbo": {"value": -24.0 + seed, "stderr": 0.2}},
    }
    (path / "run.json").write_text(json.dumps(info))
    records = [
        {"examples": 100 * k, "epoch": 0, "seconds": 0.1 * k, "train/loss": 30.0 - k, "eval/loss": 31.0 - k + seed}
        for k in range(1, 6)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (path / "samples" / "samples.png").write_bytes(png())
    if measures is not None:
        (path / "evaluation").mkdir()
        (path / "metrics.json").write_text(json.dumps(measures))
        known = {
            "n": 1000,
            "seed": 7,
            "split": "test",
            "representation": BINARY,
            "features": {"name": "cnn", "hash": "0001e37e"},
        }
        (path / "evaluation" / "evaluation.json").write_text(json.dumps(known | (facts or {})))
        (path / "evaluation" / "samples.png").write_bytes(png())
    return path


def value(number: float | None, stderr: float | None = None, kind: str = "statistic", **more: Any) -> dict[str, Any]:
    return {"value": number, "stderr": stderr, "unit": more.pop("unit", ""), "kind": kind, **more}


def rows_of(*words: str) -> Rows:
    return make_rows(find_runs(words)[0])


def table_of(group: str, rows: Rows) -> list[MetricTable]:
    return [table for table in make_tables(rows.rows) if table.group == group]


def marks(table: MetricTable) -> list[list[str]]:
    return [line.marks for line in table.lines]


def compare(capsys: pytest.CaptureFixture[str], *words: str) -> Outcome:
    outcome = call(["compare", *words, "--out", "out"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome


class Page(HTMLParser):
    """Tags, and everything that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.images = 0
        self.text = ""
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.images += tag == "img"
        self.loads += [
            str(v) for key, v in attrs if key in ("src", "href", "srcset", "data", "action") or "url(" in str(v)
        ]

    def handle_data(self, data: str) -> None:
        self.text += data
