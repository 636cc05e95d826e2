"""Downloads against a server on this machine: verified, resumed, mirrored, locked, and explained when they fail."""

import gzip
import hashlib
import http.server
import io
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.data.download import DownloadError, fetch, unpack
from genlab.data.sources.cifar10 import cifar10
from genlab.data.sources.mnist import FILES, emnist, kmnist, mnist
from genlab.data.sources.svhn import svhn
from genlab.errors import GenlabError

torch.set_num_threads(1)

CONTENT = np.random.default_rng(0).bytes(600_000)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Site(http.server.ThreadingHTTPServer):
    """Serves `files` by path; remembers each request as (path, Range header)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: Any, address: Any) -> None:
        """A client that was killed breaks its connection off: no word of it, which another test would take for its own."""


class Answer(http.server.BaseHTTPRequestHandler):
    """Under /deaf/ it ignores Range, under /short/ it breaks off halfway, under /odd/ it sends another range."""

    server: Site

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        *manner, name = self.path.strip("/").split("/")
        content = self.server.files.get(name)
        if content is None:
            return self.send_error(404)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and "deaf" not in manner else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        first = start + 1 if "odd" in manner and start else start
        self.send_header("Content-Length", str(len(content) - first))
        if start:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        time.sleep(self.server.delay)
        last = first + (len(content) - first) // 2 if "short" in manner else len(content)
        self.wfile.write(content[first:last])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Site()
    server.files["file"] = CONTENT
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a port at which nobody listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


# --------------------------------------------------------------------------------------------------------- one file


def test_a_verified_file_arrives_once(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "file"
    for _ in range(2):
        fetch([site.url + "file"], target, md5(CONTENT))
        assert target.read_bytes() == CONTENT
    assert site.requests == [("/file", None)]
    assert visible(target.parent) == {"file"}


def test_a_wrong_checksum_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="what it sends does not have the MD5 0123") as caught:
        fetch([site.url + "file"], tmp_path / "file", "0123")
    assert "\n" not in str(caught.value)
    assert visible(tmp_path) == set()
    assert len(site.requests) == 1


def test_a_file_with_another_checksum_is_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"an older release")
    fetch([site.url + "file"], tmp_path / "file", md5(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_an_interrupted_download_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:123_456])
    fetch([site.url + "file"], tmp_path / "file", md5(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert site.requests == [("/file", "bytes=123456-")]


def test_a_download_cut_short_after_its_last_byte_needs_no_request(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch([site.url + "file"], tmp_path / "file", md5(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert site.requests == []


@pytest.mark.parametrize(
    ("manner", "partial", "requests"),
    [
        ("deaf/", CONTENT[:1000], ["bytes=1000-"]),
        ("odd/", CONTENT[:1000], ["bytes=1000-", None]),
        ("", CONTENT + b"more", [f"bytes={len(CONTENT) + 4}-", None]),
        ("", b"stale" * 200, ["bytes=1000-", None]),
        ("deaf/", CONTENT + b"more", [f"bytes={len(CONTENT) + 4}-"]),
    ],
    ids=[
        "server ignores ranges",
        "server sends another range",
        "partial too long",
        "partial stale",
        "long and ignored",
    ],
)
def test_what_cannot_be_continued_starts_over(
    site: Site, tmp_path: Path, manner: str, partial: bytes, requests: list[str | None]
) -> None:
    (tmp_path / "file.part").write_bytes(partial)
    fetch([f"{site.url}{manner}file"], tmp_path / "file", md5(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [asked for _, asked in site.requests] == requests
    assert visible(tmp_path) == {"file"}


def test_a_connection_that_breaks_off_is_resumed(site: Site, tmp_path: Path) -> None:
    site.files["file"] = CONTENT[:31]  # five halvings leave one byte
    fetch([site.url + "short/file", site.url + "file"], tmp_path / "file", md5(CONTENT[:31]))
    asked = [(path, asked) for path, asked in site.requests]
    assert asked == [
        ("/short/file", None),
        ("/short/file", "bytes=15-"),
        ("/short/file", "bytes=23-"),
        ("/short/file", "bytes=27-"),
        ("/short/file", "bytes=29-"),
        ("/file", "bytes=30-"),
    ]


@pytest.mark.parametrize("failure", ["404", "refused", "truncated", "wrong content", "no address"])
def test_the_second_mirror_is_used_when_the_first_fails(site: Site, nobody: str, tmp_path: Path, failure: str) -> None:
    site.files["other"] = b"<html>log in to the network</html>"
    first = {
        "404": site.url + "missing",
        "refused": nobody + "file",
        "truncated": site.url + "deaf/short/file",
        "wrong content": site.url + "other",
        "no address": "file",
    }[failure]
    fetch([first, site.url + "file"], tmp_path / "file", md5(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert visible(tmp_path) == {"file"}


def test_the_failure_of_every_mirror_is_told(site: Site, nobody: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch([site.url + "missing", nobody + "file", site.url + "deaf/short/file"], tmp_path / "file", md5(CONTENT))
    message = str(caught.value)
    assert message.startswith("file could not be downloaded (")
    for part in (
        f"{site.url}missing: HTTP Error 404",
        f"{nobody}file: ",
        "refused",
        "connection ended after 300000 of 600000",
    ):
        assert part in message
    assert "\n" not in message


FETCH = """
import sys, pathlib, genlab.data.download
genlab.data.download.fetch([sys.argv[1]], pathlib.Path(sys.argv[2]), sys.argv[3])
"""


def test_two_processes_make_one_download(site: Site, tmp_path: Path) -> None:
    site.delay = 1.0
    command = [sys.executable, "-c", FETCH, site.url + "file", str(tmp_path / "file"), md5(CONTENT)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, b""), "and no progress bar where stderr is no terminal"
    assert site.requests == [("/file", None)]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_killed_process_leaves_a_lock_that_opens_and_a_part_that_counts(site: Site, tmp_path: Path) -> None:
    site.delay = 60.0
    (tmp_path / "file.part").write_bytes(CONTENT[:500])
    command = [sys.executable, "-c", FETCH, site.url + "file", str(tmp_path / "file"), md5(CONTENT)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    while not site.requests:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    site.delay = 0.0
    fetch([site.url + "file"], tmp_path / "file", md5(CONTENT))
    assert site.requests == [("/file", "bytes=500-")] * 2


# ------------------------------------------------------------------------------------------------------------- disk


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_apart_from_a_failing_network(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(
        GenlabError, match=r"cannot be read or written \(No space left on device\); free space"
    ) as caught:
        fetch([site.url + "file"], tmp_path / "file", md5(CONTENT))
    assert not isinstance(caught.value, DownloadError)


def test_a_folder_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(GenlabError, match=r"set dataset\.root to another folder") as caught:
        fetch([site.url + "file"], tmp_path / "data" / "file", md5(CONTENT))
    assert not isinstance(caught.value, DownloadError)
    assert site.requests == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(site: Site, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(GenlabError, match="Permission denied"):
        fetch([site.url + "file"], tmp_path / "file", md5(CONTENT))
    tmp_path.chmod(0o700)


def packed(kind: str, members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as zipped:
            for name, content in members.items():
                zipped.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tarred:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tarred.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_give_what_is_asked_for_and_nothing_else(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "in" / "archive"
    archive.parent.mkdir()
    archive.write_bytes(
        packed(kind, {"../evil": b"evil", "a/one": b"1", "/tmp/evil": b"evil", "a/two": b"2", "b": b"3"})
    )
    unpack(archive, {"a/two": tmp_path / "out" / "2", "a/one": tmp_path / "out" / "1"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"1": b"1", "2": b"2"}
    assert visible(tmp_path) == {"in", "out"}
    assert visible(archive.parent) == {"archive"}


@pytest.mark.parametrize("damage", ["text", "truncated", "member missing"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_damaged_archive_writes_nothing(tmp_path: Path, kind: str, damage: str) -> None:
    archive = tmp_path / "archive"
    whole = packed(kind, {"one": CONTENT, "two": CONTENT} if damage != "member missing" else {"one": CONTENT})
    archive.write_bytes({"text": b"<html>", "truncated": whole[:200_000]}.get(damage, whole))
    with pytest.raises(GenlabError, match=r"does not unpack .*; delete it so that it is fetched again"):
        unpack(archive, {"one": tmp_path / "out" / "1", "two": tmp_path / "out" / "2"})
    assert visible(tmp_path / "out") == set()
    assert visible(tmp_path) == {"archive", "out"}


# -------------------------------------------------------------------------------------------------------- whole sets


def idx(values: Any) -> bytes:
    array = np.asarray(values, np.uint8)
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + shape + array.tobytes())


def tiny(name: str, labels: list[int]) -> bytes:
    return idx(np.full((3, 28, 28), 9)) if "images" in name else idx(labels)


def test_mnist_is_downloaded_into_torchvisions_layout(
    site: Site, nobody: str, tmp_path: Path, monkeypatch: Any
) -> None:
    from torchvision.datasets import MNIST

    contents = {f"{name}.gz": tiny(name, [0, 5, 9]) for name in FILES}
    site.files |= contents
    monkeypatch.setattr(MNIST, "mirrors", [nobody, site.url])
    monkeypatch.setattr(MNIST, "resources", [(name, md5(content)) for name, content in contents.items()])
    for _ in range(2):
        raw = mnist(root=str(tmp_path))
        assert raw.train.y is not None
        assert raw.train.y.tolist() == [0, 5, 9]
    assert len(site.requests) == 4
    assert visible(tmp_path / "MNIST" / "raw") == set(contents)


def test_emnist_takes_its_split_out_of_the_archive(site: Site, tmp_path: Path, monkeypatch: Any) -> None:
    from torchvision.datasets import EMNIST

    names = [f"emnist-{split}-{file.replace('t10k', 'test')}" for split in ("letters", "digits") for file in FILES]
    site.files["gzip.zip"] = packed("zip", {f"gzip/{name}.gz": tiny(name, [1, 2, 9]) for name in names})
    monkeypatch.setattr(EMNIST, "url", site.url + "gzip.zip")
    monkeypatch.setattr(EMNIST, "md5", md5(site.files["gzip.zip"]))
    raw = emnist(root=str(tmp_path), split="letters")
    assert raw.train.y is not None
    assert raw.train.y.tolist() == [0, 1, 8]
    assert visible(tmp_path / "EMNIST" / "raw") == {"gzip.zip"} | {f"{name}.gz" for name in names if "letters" in name}
    emnist(root=str(tmp_path), split="digits")
    assert len(site.requests) == 1, "the archive is kept for the other splits"


def test_cifar10_is_downloaded_and_unpacked(site: Site, tmp_path: Path, monkeypatch: Any) -> None:
    from torchvision.datasets import CIFAR10

    batch = pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [3, 9]})
    meta = pickle.dumps({"label_names": list("abcdefghij")})
    files = {"data_batch_1": batch, "test_batch": batch, "batches.meta": meta}
    archive = packed("tar", {f"cifar-10-batches-py/{name}": content for name, content in files.items()})
    site.files["cifar-10-python.tar.gz"] = archive
    monkeypatch.setattr(CIFAR10, "url", site.url + "cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", md5(batch)]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(batch)]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(meta)})
    for _ in range(2):
        raw = cifar10(root=str(tmp_path))
        assert raw.train.y is not None
        assert raw.train.y.tolist() == [3, 9]
    (tmp_path / "cifar-10-batches-py" / "test_batch").unlink()
    cifar10(root=str(tmp_path))
    assert len(site.requests) == 1


def test_svhn_is_downloaded(site: Site, tmp_path: Path, monkeypatch: Any) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    buffer = io.BytesIO()
    savemat(buffer, {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[10], [4]], np.uint8)})
    site.files["x.mat"] = buffer.getvalue()
    entry = {split: [site.url + "x.mat", f"{split}_32x32.mat", md5(buffer.getvalue())] for split in ("train", "test")}
    monkeypatch.setattr(SVHN, "split_list", entry)
    raw = svhn(root=str(tmp_path))
    assert raw.train.y is not None
    assert raw.train.y.tolist() == [0, 4]
    assert visible(tmp_path / "svhn") == {"train_32x32.mat", "test_32x32.mat"}


def test_without_network_one_line_says_what_to_do(nobody: str, tmp_path: Path, monkeypatch: Any) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.KMNIST, "mirrors", [nobody])
    monkeypatch.setattr(datasets.EMNIST, "url", nobody + "gzip.zip")
    monkeypatch.setattr(datasets.CIFAR10, "url", nobody + "cifar-10-python.tar.gz")
    monkeypatch.setattr(
        datasets.SVHN, "split_list", {split: [nobody, f"{split}_32x32.mat", "0"] for split in ("train", "test")}
    )
    root = str(tmp_path)
    cases = {
        "KMNIST/raw": (lambda: kmnist(root=root), "t10k-labels-idx1-ubyte[.gz]"),
        "EMNIST/raw": (lambda: emnist(root=root, split="digits"), "emnist-digits-test-labels-idx1-ubyte[.gz]"),
        "": (lambda: cifar10(root=root), "cifar-10-python.tar.gz"),
        "svhn": (lambda: svhn(root=root), "test_32x32.mat"),
    }
    for folder, (load, file) in cases.items():
        with pytest.raises(GenlabError) as caught:
            load()
        message = str(caught.value)
        assert "\n" not in message
        for part in ("not found under dataset.root", file, f"into {tmp_path / folder}", "dataset=digits", "refused"):
            assert part in message
