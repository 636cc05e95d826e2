"""A fault in code of the user's own: their frames of the traceback, without those of genlab and of libraries, and one line."""

import sys
import sysconfig
import traceback
from pathlib import Path

from genlab.config.packages import packages, targets_of_packages
from genlab.config.targets import SECTIONS, allowed_targets
from genlab.errors import GenlabError

GENLAB = Path(__file__).parents[1]


def own_fault(error: BaseException) -> str | None:
    """'ZeroDivisionError in train_loop (mine.py, line 31): division by zero', where code of the user's own led to it."""
    frames = own_frames(error)
    if not frames:
        return None
    last = frames[-1]
    said = next(iter(str(error).splitlines()), "") or "without a message"
    return f"{type(error).__name__} in {last.name} ({Path(last.filename).name}, line {last.lineno}): {said}"


def show_own_frames(error: BaseException) -> None:
    """Print the lines of the user's own code that led to `error` on standard error; nothing where there are none."""
    frames = own_frames(error)
    if frames:
        print("genlab: in code of your own:", file=sys.stderr)
        print("".join(traceback.StackSummary.from_list(frames).format()), end="", file=sys.stderr)


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Those of the traceback of `error` that lie in code of the user's own; none for a mistake that has a line already."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GenlabError):
            return []
        cause = cause.__cause__ or cause.__context__
    modules = {target.partition(".")[0] for target in allowed_targets()}
    if packages():
        modules |= {target.partition(".")[0] for section in SECTIONS for target in targets_of_packages(section)}
    if not modules:
        return []
    found = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module in modules or not _is_library(Path(frame.f_code.co_filename)):
            found.append(traceback.FrameSummary(frame.f_code.co_filename, line, frame.f_code.co_name))
    return found


def _is_library(file: Path) -> bool:
    """Whether a file is of genlab, of Python, or installed; what has no file (<string>) counts as such."""
    folders = [GENLAB, Path(sysconfig.get_path("stdlib")), Path(sys.prefix) / "bin"]
    installed = bool({"site-packages", "dist-packages"} & set(file.parts))
    return installed or not file.is_file() or any(file.is_relative_to(folder) for folder in folders)
