"""What a person sees of a sweep while it runs: jobs done, running, failed, the best so far, the time left.

In a terminal that is a row above that of the job; elsewhere it is a line after each job. Jobs in other processes write to the
same terminal, so that with a launcher there are lines, too.
"""

import threading
import time
from contextlib import ExitStack, suppress
from typing import Any, ClassVar

from rich.text import Text

from genlab.commands.sweep_table import label
from genlab.tracking.console import console
from genlab.tracking.hparams_columns import write_columns
from genlab.tracking.progress import Step, clock, redraws, shown
from genlab.tracking.sweep_folder import Entry, SweepFolder, settings, value_of, varied_keys

INTERVAL = 1.0  # seconds between two looks at jobs in other processes
ENDED = ("finished", "failed", "interrupted")


class Overview(Step):
    """Of a sweep of `total` jobs (None: nobody knows), whose jobs run one after the other in this process or in others."""

    current: ClassVar["Overview | None"] = None

    def __init__(self, sweep: SweepFolder, total: int | None, in_this_process: bool) -> None:
        super().__init__("sweep", total, "jobs", 0, main=False, steady=True)
        self.visible = True
        self.sweep, self.in_this_process = sweep, in_this_process
        self.jobs: list[Entry] = []
        self.best: tuple[str, str, float] | None = None
        """The measure, what is particular to the best job, and its value."""
        self.under_way = False
        """Whether a job runs in this process."""
        self._counted, self._began_at = 0, time.monotonic()
        self._left_then: tuple[float, float] | None = None
        self._before: dict[str, Any] = {}
        self._stack, self._stop, self._lock = ExitStack(), threading.Event(), threading.Lock()

    def start(self) -> None:
        Overview.current = self
        self._take(self.sweep.read())
        self._before = {job["folder"]: _moment(job) for job in self.jobs}
        if self.in_this_process:
            if redraws():
                self._stack.enter_context(shown(self))
        else:
            threading.Thread(target=self._watch, name="genlab-sweep", daemon=True).start()

    def stop(self) -> None:
        Overview.current = None
        self._stop.set()
        self._stack.close()

    def look(self) -> None:
        """Read what has become of the jobs, and show it where another one has ended."""
        with self._lock:
            self.under_way = False
            self._take(self.sweep.read())
            ended = self._ended()
            if ended == self._counted:
                return
            self._counted = ended
            left = self._jobs_left()
            if left is not None:
                now = time.monotonic()
                self._left_then = now, left * (now - self._began_at) / ended
            with suppress(OSError):
                write_columns(self.sweep)
            if not (self.in_this_process and redraws()) and left != 0:
                console.print(self.line(), markup=False)

    def line(self) -> str:
        time_left = f"; {clock(self.seconds_left)} left" if self.seconds_left is not None else ""
        best = f"; best so far: {self._best_in_words()}" if self.best else ""
        return f"sweep: {', '.join(self._counts())}{best}{time_left}"

    def row(self, width: int) -> Text:
        row = Text(no_wrap=True, overflow="crop")
        row.append("sweep ", style="bold").append(", ".join(self._counts()))
        left = "-:--:--" if self.seconds_left is None else clock(self.seconds_left)
        parts = [(f"{left} left", "")] if self.total is not None else []
        parts += [(f"best so far: {self._best_in_words()}", "cyan")] if self.best else []
        for text, style in parts:
            if len(row) + 2 + len(text) <= width:
                row.append("  ").append(text, style=style)
        row.truncate(width)
        return row

    @property
    def seconds_left(self) -> float | None:
        """If the other jobs take as long as those that have ended; None where none has."""
        if self._left_then is None:
            return None
        then, left = self._left_then
        return max(0.0, left - (time.monotonic() - then))

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.look()

    def _take(self, content: dict[str, Any]) -> None:
        self.jobs = content.get("jobs", [])
        best = next((job for job in self.jobs if job["number"] == content.get("best")), None)
        value = None if best is None else value_of(best, str(content["measure"]))
        if best is not None and value is not None:
            told = label(settings(best), varied_keys(self.jobs)) or f"job {best['number']}"
            self.best = str(content["measure"]), told, value

    def _best_in_words(self) -> str:
        assert self.best is not None
        measure, told, value = self.best
        return f"{measure} {value:.4g} ({told})"

    def _ended(self) -> int:
        """Jobs that have ended since the start."""
        return sum(
            job.get("state") in ENDED and _moment(job) != self._before.get(job["folder"], ("", None))
            for job in self.jobs
        )

    def _jobs_left(self) -> int | None:
        if self.total is None:
            return None
        ended = sum(
            job.get("state") == "finished"
            or (job.get("state") in ENDED and _moment(job) != self._before.get(job["folder"], ("", None)))
            for job in self.jobs
        )
        return max(0, int(self.total - ended))

    def _counts(self) -> list[str]:
        states = [str(job.get("state")) for job in self.jobs]
        done = states.count("finished")
        if self.under_way and "running" not in states:
            states.append("running")
        said = [f"{done} of {int(self.total)} jobs done" if self.total is not None else f"{done} jobs done"]
        return said + [f"{n} {state}" for state in ("running", "failed", "interrupted") if (n := states.count(state))]


def _moment(job: Entry) -> tuple[object, object]:
    """What changes whenever a job ends, though it may end as it did before."""
    return job.get("state"), job.get("ended")


def job_begins() -> None:
    """Show that a job runs in this process, where this process shows the sweep."""
    if Overview.current is not None:
        Overview.current.under_way = True


def look_again() -> None:
    """Show what has become of a job that has ended in this process, where this process shows the sweep."""
    if Overview.current is not None:
        Overview.current.look()
