"""Every test has a home of its own, so that nothing of the user's is touched and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Callable, Iterator

import pytest

import muster


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    for name in list(os.environ):
        if name.startswith(("MUSTER_", "XDG_", "WORK_QUEUE_", "TCP_")) and name != "MUSTER_BIN":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(place))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return place


@pytest.fixture
def federation(home: Path) -> Iterator[muster.Federation]:
    with muster.Federation.local(sites=1, workers=2) as made:
        yield made


def until(what: str, true_yet: Callable[[], object], seconds: float = 20.0) -> None:
    """Looks every few milliseconds until it is true."""
    end = time.monotonic() + seconds
    while not true_yet():
        assert time.monotonic() < end, f"never: {what}"
        # A pause without a timer of the test's own: the next look is what ends the wait.
        os.sched_yield()


class Interruption(Exception):
    """What a signal raises in :func:`interrupting`."""


@contextmanager
def interrupting() -> Iterator[None]:
    """Raises :class:`Interruption` every few milliseconds in whatever waits for a task, and nowhere else."""

    def interrupt(_: int, frame: FrameType | None) -> None:
        while frame is not None:
            package = Path(frame.f_code.co_filename).parent.name
            if frame.f_code.co_name == "wait" and package in ("muster", "work_queue"):
                raise Interruption
            frame = frame.f_back

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def marked(mark: str) -> list[int]:
    """The living processes that have ``mark`` in their environment or words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if mark.encode() in text and state != "Z":
                found.append(int(entry.name))
    return found


def python(script: str, **options: object) -> subprocess.Popen[str]:
    """Another Python that runs ``script``."""
    words = [sys.executable, "-c", script]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload,no-any-return]
