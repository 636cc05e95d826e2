"""Checkpoints: whole or not at all, and no damage goes unnoticed."""

import errno
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from genlab.errors import GenlabError
from genlab.training import checkpoint
from tests.helpers.processes import same


def state(scale: float = 1.0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    weight = scale * torch.randn(40, 25, generator=generator)
    return {
        "config": {"seed": 3, "name": "ünïcode", "train": {"epochs": None, "rates": [0.1, 2]}},
        "model": {"weight": weight, "steps": torch.tensor(7), "mask": torch.tensor([True, False])},
        "optimizers": {"a": {"state": {0: {"exp_avg": weight.square()}}, "param_groups": [{"lr": 0.1, "params": [0]}]}},
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "last.pt"
    checkpoint.save(path, state())
    return path


def refusal(path: Path) -> str:
    """The one line that refuses `path` and names it."""
    with pytest.raises(GenlabError) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_what_is_saved_comes_back_to_the_last_bit(saved: Path) -> None:
    loaded = checkpoint.load(saved)
    assert same({key: loaded[key] for key in state()}, state())
    assert [p.name for p in saved.parent.iterdir()] == ["last.pt"]


class HalfWritten:
    """torch.save on a disk that fills up after the first bytes."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, values: Any, file: Any) -> None:
        file.write(b"PK\x03\x04 the beginning of an archive")
        raise self.error


class FullDisk(HalfWritten):
    """What torch makes of it: closing the archive fails in its turn, and that is the error that is seen."""

    def __call__(self, values: Any, file: Any) -> None:
        try:
            super().__call__(values, file)
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 209600 vs 209488")  # noqa: B904


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file"),
    ],
)
def test_a_write_that_fails_leaves_the_old_checkpoint_whole(
    saved: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = saved.read_bytes()
    monkeypatch.setattr(torch, "save", HalfWritten(error))
    with pytest.raises(OSError, match=r"space|large|failed writing"):
        checkpoint.save(saved, state(2.0))
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["last.pt"]  # nothing half-written beside it


def test_a_full_disk_is_known_as_such(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()
    monkeypatch.setattr(torch, "save", FullDisk(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left on device") as caught:
        checkpoint.save(saved, state(2.0))
    assert caught.value.errno == errno.ENOSPC  # by which the commands tell it from a fault of their own
    assert saved.read_bytes() == before


def test_a_writer_that_is_killed_leaves_the_old_checkpoint_whole(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", HalfWritten(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(saved, state(2.0))
    assert same(checkpoint.load(saved)["model"], state()["model"])
    checkpoint.save(saved, state(2.0))  # whatever was left behind is in nobody's way
    assert same(checkpoint.load(saved)["model"], state(2.0)["model"])
    assert [p.name for p in saved.parent.iterdir()] == ["last.pt"]


def test_a_checkpoint_cannot_be_written_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        checkpoint.save(tmp_path / "nowhere" / "last.pt", state())


def test_a_flipped_bit_anywhere_in_a_tensor_is_detected(saved: Path) -> None:
    content = saved.read_bytes()
    for tensor in (state()["model"]["weight"], state()["optimizers"]["a"]["state"][0]["exp_avg"]):
        raw = tensor.numpy().tobytes()
        first = content.index(raw)  # stored as they are
        for offset in (0, 1, len(raw) // 3, len(raw) // 2, len(raw) - 1):
            for bit in (0, 7):
                damaged = bytearray(content)
                damaged[first + offset] ^= 1 << bit
                saved.write_bytes(damaged)
                assert "damaged" in refusal(saved)
    saved.write_bytes(content)
    checkpoint.load(saved)


def test_a_flipped_bit_anywhere_in_the_file_is_refused_or_harmless(saved: Path) -> None:
    content, good = saved.read_bytes(), checkpoint.load(saved)
    generator = random.Random(0)
    refused = 0
    for position in range(0, len(content), 11):
        damaged = bytearray(content)
        damaged[position] ^= 1 << generator.randrange(8)
        saved.write_bytes(damaged)
        try:
            assert same(checkpoint.load(saved), good)  # padding, or a date that nobody reads
        except GenlabError:
            refused += 1
    assert refused > len(content) / 11 / 2


def test_a_wrong_compression_method_is_refused(saved: Path) -> None:
    """The archive's directory may claim any method; the decompressors' errors are the user's damage, too."""
    content = saved.read_bytes()
    entry = content.index(b"PK\x01\x02")
    for method in (8, 12, 14, 99):
        damaged = bytearray(content)
        damaged[entry + 10] = method
        saved.write_bytes(damaged)
        refusal(saved)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert refusal(saved).endswith("; train again")
    saved.with_name("best.pt").touch()
    assert "use best.pt" in refusal(saved)


@pytest.mark.parametrize("content", [b"not a checkpoint\n", b"\x00" * 4096, b"PK\x05\x06" + bytes(18), b"PK\x03\x04"])
def test_a_foreign_file_is_refused(saved: Path, content: bytes) -> None:
    saved.write_bytes(content)
    refusal(saved)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "last.pt")
    (tmp_path / "best.pt").mkdir()
    refusal(tmp_path / "best.pt")


def test_another_format_is_refused(saved: Path) -> None:
    foreign: Any
    for foreign in ({"model": {}}, {"format": "2", "model": {}}, [1, 2], torch.zeros(3)):
        torch.save(foreign, saved)
        assert "is not one of genlab; train again" in refusal(saved)
    for number in (0, checkpoint.FORMAT + 1):
        torch.save({"format": number, "model": {}}, saved)
        assert (
            f"has format {number}, and this version of genlab reads 1 to {checkpoint.FORMAT}; use the version"
            in refusal(saved)
        )


def test_an_older_format_becomes_the_present_one(saved: Path) -> None:
    """Format 1, of runs before the budget: what was decided about pictures is not there."""
    torch.save({"format": 1, "model": {"w": torch.ones(2)}, "window": []}, saved)
    state = checkpoint.load(saved)
    assert state["format"] == checkpoint.FORMAT
    assert (state["looking"], state["gradient_norms"], state["shown_since"]) == (None, {}, {})
    torch.save({"format": 1, "model": {}, "looking": {"sets": 3}}, saved)
    assert checkpoint.load(saved)["looking"] == {"sets": 3}


class Code:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "was here")


def test_code_in_a_checkpoint_is_not_run(saved: Path, tmp_path: Path) -> None:
    """And nobody is told how to run it all the same, as torch's own message does."""
    code = {"format": checkpoint.FORMAT, "model": Code(tmp_path / "intruder")}
    for write in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        write(code, saved)
        assert refusal(saved) == f"checkpoint {saved} holds objects, not tensors; do not open it"
    torch.save(code, saved, _use_new_zipfile_serialization=False)
    assert refusal(saved) == f"checkpoint {saved} holds objects, not tensors; do not open it"
    assert not (tmp_path / "intruder").exists()


def test_an_archive_that_claims_more_than_it_has_is_refused(saved: Path) -> None:
    """Before anything is reserved for it: zeros are packed to a thousandth."""
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/99", bytes(10_000_000))
    assert "claims to hold 10,0" in refusal(saved)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (torch.zeros(()).expand(10**6, 10**6), "claims 1,000,000,000,000 values, more than there are"),
        (torch.tensor([0.0, float("nan")]), "model.weight is not finite"),
        (torch.tensor([0.0, -float("inf")]), "model.weight is not finite"),
        (torch.eye(3).to_sparse(), "is no plain tensor"),
    ],
)
def test_tensors_that_no_training_leaves_are_refused(weight: torch.Tensor, words: str, saved: Path) -> None:
    torch.save({"format": checkpoint.FORMAT, "model": {"weight": weight}}, saved)
    assert words in refusal(saved)
