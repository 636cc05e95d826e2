"""SIGINT and SIGTERM as a request to stop, which a loop reads between two updates."""

import signal
import threading
from types import FrameType, TracebackType

from genlab.errors import InterruptedRun


class StopRequest:
    """Within `with`, the first signal is noted in `number`. A second one raises KeyboardInterrupt at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, object] = {}

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name if self.number is not None else ""

    def interrupted(self, seen: int, planned: int, resume: str) -> InterruptedRun:
        """What a training of `planned` examples that stops after `seen` raises; `resume` is the command that goes on."""
        assert self.number is not None, "a signal asked for it"
        line = f"{self.name} at {seen:,} of {planned:,} examples; all is saved: {resume}"
        return InterruptedRun(line, self.number)

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # Python delivers signals to no other
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
