"""The two logs, in the forms that tools of that system read."""

from __future__ import annotations

import os
import time

from ._stats import FIELDS, Stats


class StatsLog:
    """A line of statistics a second."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "w", encoding="utf-8", buffering=1)
        self._file.write("# timestamp " + " ".join(FIELDS) + "\n")
        self._due = 0.0

    def is_due(self) -> bool:
        """Whether it is time for the next."""
        return time.monotonic() >= self._due

    def write(self, stats: Stats) -> None:
        """Writes how things stand."""
        self._due = time.monotonic() + 1
        values = " ".join(str(round(getattr(stats, name))) for name in FIELDS)
        self._file.write(f"{round(time.time() * 1e6)} {values}\n")


class TransactionsLog:
    """A line for whatever happens to a task."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "w", encoding="utf-8", buffering=1)
        self._file.write("# time manager_pid MANAGER START|END\n# time manager_pid TASK id state category|result\n")
        self._line("MANAGER START")

    def task(self, number: int, state: str, detail: str) -> None:
        """Something happened to a task."""
        self._line(f"TASK {number} {state} {detail}".rstrip())

    def close(self) -> None:
        """The end of the queue."""
        self._line("MANAGER END")
        self._file.close()

    def _line(self, text: str) -> None:
        self._file.write(f"{round(time.time() * 1e6)} {os.getpid()} {text}\n")
