"""The module of the talk: ``workqueue``, as of version 3.2 of that system, on Muster.

Files are cached by default, outputs are named at the worker first, and a file keeps the path that it is given.
"""

from __future__ import annotations

import os
from typing import Any

import work_queue
from work_queue import *  # noqa: F401,F403
from work_queue import WorkQueue

__all__ = [*work_queue.__all__, "Task", "WorkQueue"]


def _same(name: str) -> str:
    """What a file is called at the worker if nothing is said: what it is called here, if that stays inside."""
    path = os.fspath(name)
    if path.startswith("/") or ".." in path.split("/"):
        return os.path.basename(path)
    return path


class Task(work_queue.Task):
    """A task, with the methods of that version."""

    def specify_input_file(self, fname: str, rname: str | None = None, *flags: Any, **others: Any) -> bool:
        """A file that goes along: its name here, and its name there."""
        return super().specify_input_file(fname, _same(fname) if rname is None else rname, *flags, **others)

    def specify_output_file(self, rname: str, fname: str | None = None, *flags: Any, **others: Any) -> bool:
        """A file that comes back: its name *there*, and its name here."""
        return super().specify_output_file(rname if fname is None else fname, _same(rname), *flags, **others)
