"""Files from the network: verified, resumed, and fetched once however many processes ask.

A download grows in `<file>.part` beside its destination and takes its name only when its MD5 is right, so a file that
exists is complete. An interrupted download continues where it stopped (HTTP Range). One process at a time works on a file;
another waits at the lock, and then finds the file there.
"""

import gzip
import hashlib
import http.client
import logging
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from genlab.errors import GenlabError

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # at one mirror, as long as each adds to the file
CHUNK = 1 << 18

log = logging.getLogger(__name__)


foreign_root: ContextVar[str | None] = ContextVar("foreign_root", default=None)
"""A folder of data sets that only a run folder names: it is read, and nothing is written there."""


class DownloadError(GenlabError):
    """No mirror delivered the file. The message lists what each of them answered."""


def data_root(root: str | None) -> Path:
    """The folder under which data sets lie: `root`, or genlab/data in the user's cache folder."""
    try:
        if root:
            folder = Path(root).expanduser()
        else:
            cache = os.environ.get("XDG_CACHE_HOME", "")
            folder = (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "genlab" / "data"
        if folder.exists() and not folder.is_dir():
            raise GenlabError(f"dataset.root={root}: {folder} is a file; set dataset.root to a folder")
    except (RuntimeError, OSError) as error:  # no home folder to expand ~ to, or no way to look there
        raise GenlabError(f"dataset.root={root}: {error}; set dataset.root to another folder") from error
    return Path(os.path.abspath(folder))  # noqa: PTH100  (resolve() would follow links, whose names are wanted)


def namesakes(folder: Path, name: str) -> list[Path]:
    """`folder` if it bears `name`, and those of its sub-folders that do, whatever the case, hyphens and underscores."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    except OSError as error:
        raise GenlabError(f"dataset.root={folder}: cannot be read ({error.strerror}); mend its permissions") from error
    return [path for path in (folder, *inside) if _plain(path.name) == _plain(name)]


def complete(places: Iterable[Path], files: Sequence[str]) -> list[Path]:
    """Those of `places` that hold all of `files`."""
    try:
        return [place for place in places if all((place / file).is_file() for file in files)]
    except OSError as error:
        raise GenlabError(f"{error.filename}: cannot be read ({error.strerror}); mend its permissions") from error


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "-_ ")


def not_found(name: str, folder: Path, files: Iterable[str], cause: DownloadError) -> GenlabError:
    """The message for a user who has neither the data nor a network."""
    return GenlabError(
        f"dataset={name}: not found under dataset.root, and {cause}; put {', '.join(files)} into {folder}, "
        "or take dataset=digits, which needs no download"
    )


def fetch(urls: Sequence[str], destination: Path, md5: str) -> None:
    """Make sure that `destination` holds the file with checksum `md5`, from the first of `urls` that delivers it."""
    if _has(destination, md5):
        return
    with locked(destination):
        if _has(destination, md5):
            return
        partial = destination.with_name(destination.name + ".part")
        failures = []
        for url in urls:
            try:
                _fetch_one(url, partial, md5)
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures.append(f"{url}: {' '.join(str(error).split()) or type(error).__name__}")
                log.info("%s", failures[-1])
                continue
            with _disk(destination):
                partial.replace(destination)
            return
    raise DownloadError(f"{destination.name} could not be downloaded ({'; '.join(failures)})")


def unpack(archive: Path, members: dict[str, Path]) -> None:
    """Take `members` (name in the archive -> file to write) out of a tar or zip archive.

    Nothing is written but the files asked for, under names that do not come from the archive, and each appears at once
    and complete; so a hostile or half-read archive can do no harm.
    """
    target = next(iter(members.values())).parent
    with (
        locked(archive.with_name(archive.name + ".unpack")),
        _disk(target),
        tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpack-") as temporary,
    ):
        target.mkdir(parents=True, exist_ok=True)
        files = [Path(temporary) / str(i) for i in range(len(members))]
        try:
            _extract(archive, dict(zip(members, files, strict=True)))
        except (KeyError, EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())
            raise GenlabError(
                f"{archive}: does not unpack ({reason}); delete it so that it is fetched again"
            ) from error
        for file, path in zip(files, members.values(), strict=True):
            file.replace(path)


def _extract(archive: Path, wanted: dict[str, Path]) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for name, path in wanted.items():
                with zipped.open(name) as member, path.open("wb") as file:
                    shutil.copyfileobj(member, file, CHUNK)
        return
    with tarfile.open(archive) as tarred:
        for entry in tarred:  # in the archive's own order: a gzipped tar cannot seek cheaply
            if entry.isfile() and entry.name in wanted:
                source = tarred.extractfile(entry)
                assert source is not None, "regular files have contents"
                with source, wanted.pop(entry.name).open("wb") as file:
                    shutil.copyfileobj(source, file, CHUNK)
    if wanted:
        raise KeyError(f"it lacks {', '.join(wanted)}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time works on `path`; its folder is made if need be.

    Raises DownloadError where only a run folder says that data sets lie there.
    """
    root = foreign_root.get()
    if root is not None and path.absolute().is_relative_to(data_root(root)):
        raise DownloadError(
            f"nothing is written into {root}, which only the run folder names; if it is yours, add dataset.root={root}"
        )
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for another process that fetches %s", path)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _has(path: Path, md5: str) -> bool:
    with _disk(path):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5


def _fetch_one(url: str, partial: Path, md5: str) -> None:
    """Fill `partial` from `url`, going on from what is there; OSError or HTTPException if that fails."""
    resumed = _size(partial) > 0
    for attempt in range(ATTEMPTS):
        before = _size(partial)
        if before and _has(partial, md5):
            return
        try:
            _transfer(url, partial, before)
        except (OSError, http.client.HTTPException):
            refused = _size(partial) <= before
            if refused or attempt == ATTEMPTS - 1:
                raise
            continue
        if _has(partial, md5):
            return
        with _disk(partial):
            partial.unlink(missing_ok=True)
        if not resumed:
            break
        resumed = False  # what was there may have been the beginning of another file: once more, from nothing
    raise OSError(f"what it sends does not have the MD5 {md5}")


def _transfer(url: str, partial: Path, have: int) -> None:
    headers = {"User-Agent": "genlab"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if not (have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
            raise
        error.close()
        return _transfer(url, partial, 0)  # what is here is longer than the file
    with response, _progress(partial.stem) as progress:
        continued = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if continued and not str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            return _transfer(url, partial, 0)  # another range than the one asked for
        received = have if continued else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else received + int(length)
        log.info("fetching %s (%s bytes, from byte %d)", url, total, received)
        with _disk(partial):
            file = partial.open("ab" if continued else "wb")
        with file:
            task = progress.add_task(partial.stem, total=total, completed=received)
            while chunk := response.read(CHUNK):
                with _disk(partial):
                    file.write(chunk)
                    file.flush()
                received += len(chunk)
                progress.update(task, completed=received)
        if total is not None and received < total:
            raise OSError(f"the connection ended after {received} of {total} bytes")


@contextmanager
def _progress(title: str) -> Iterator[Progress]:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        yield progress


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn failures of the disk into a GenlabError, so that they are not taken for failures of the network."""
    try:
        yield
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GenlabError(
            f"{path}: cannot be read or written ({reason}); free space, mend the folder's permissions, "
            "or set dataset.root to another folder"
        ) from error


def _size(path: Path) -> int:
    with _disk(path):
        return path.stat().st_size if path.exists() else 0
