"""SIGINT and SIGTERM as a request that a loop looks at when it can."""

import signal
import threading
from types import FrameType, TracebackType


class StopRequest:
    """Inside `with`, a first signal is noted in `number`; a second one is not waited for and raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, object] = {}

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name if self.number is not None else ""

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # Python hands signals to no other
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
