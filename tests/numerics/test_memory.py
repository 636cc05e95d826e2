"""What the memory cannot hold is refused before it is made."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from genlab.errors import GenlabError
from genlab.numerics import memory
from genlab.numerics.memory import WithinMemory, check_memory_of_training, free_memory

GIB = 2**30


@pytest.fixture
def one_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: GIB)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(20_000, 20_000),
        lambda: torch.zeros(2**28 + 1),
        lambda: torch.randn(2**14, 2**15, dtype=torch.float64),
        lambda: torch.zeros(1).expand(2**29).clone(),
        lambda: torch.zeros(1, dtype=torch.bool).expand(2**28 + 1).float(),
    ],
)
def test_a_tensor_that_is_too_large_is_never_made(make: object, one_gib: None) -> None:
    assert callable(make)
    line = r"model=vae needs .* GiB of memory or more, and 1\.0 GiB are free"
    with pytest.raises(GenlabError, match=line), WithinMemory("model=vae"):
        make()


def test_one_that_fits_is_made(one_gib: None) -> None:
    with WithinMemory("model=vae"):
        assert nn.Linear(100, 10)(torch.ones(2, 100)).shape == (2, 10)
        assert torch.empty(2**27).numel() == 2**27, "half of the memory"


def test_room_for_gradients_and_one_mean_of_each_parameter(one_gib: None) -> None:
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(1).expand(2**27))  # 512 MiB, as it says
    check_memory_of_training(model, "model=vae")
    model.weight = nn.Parameter(torch.zeros(1).expand(2**27 + 2**25))
    with pytest.raises(GenlabError, match=r"an update of model=vae needs 1\.2 GiB"):
        check_memory_of_training(model, "model=vae")


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    monkeypatch.setattr(memory, "INFO", tmp_path / "meminfo")
    assert free_memory() is None, "nothing says so"
    (tmp_path / "meminfo").write_text("MemTotal:       24000000 kB\nMemAvailable:    8000000 kB\n")
    assert free_memory() == 8_000_000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    assert free_memory() == 8_000_000 * 1024, "max is no limit"
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_memory() == 1000 - 900 + 300, "files that are kept in memory make room"


def test_the_peak_is_that_of_this_process_and_not_of_the_one_that_started_it() -> None:
    held = torch.ones(2**28, dtype=torch.uint8)
    code = "from genlab.numerics.memory import peak_memory_mb; import torch; x = torch.ones(2**25); print(peak_memory_mb())"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    peak, own = float(ended.stdout), memory.peak_memory_mb()
    assert own is not None
    assert own > held.nbytes / 2**20
    assert 128 < peak < own, "it has imported as much, and holds half of what is held here"
