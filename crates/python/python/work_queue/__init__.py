"""A drop-in for the module ``work_queue`` of that system, on Muster.

Its classes, methods and constants are here under their names. What Muster cannot offer raises
:class:`Unsupported` with the reason; what it does in another way says so by a warning, once.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from typing import Any

from . import _constants, _functions, _refusals
from ._constants import *  # noqa: F401,F403
from ._factory import Factory
from ._functions import *  # noqa: F401,F403
from ._python import PythonTask, PythonTaskNoResult, RemoteTask
from ._queue import WorkQueue
from ._refusals import Unsupported, tell
from ._stats import Stats
from ._task import Resources, Task, compat

__version__ = "7.11.0+muster.0.1.0"

#: A directory for files of a program, removed at its end.
staging_directory: str = ""


def set_debug_flag(*flags: str) -> None:
    """Accepted with a warning: what goes wrong is said by exceptions, results and warnings."""
    if flags:
        tell("set_debug_flag", "what goes wrong is said by exceptions, results and warnings")


def specify_debug_log(logfile: str) -> None:
    """Accepted with a warning, as :func:`set_debug_flag`."""
    tell("specify_debug_log", "what goes wrong is said by exceptions, results and warnings")


def specify_port_range(low_port: int, high_port: int) -> None:
    """The range of ports for queues that are made with port 0."""
    if low_port > high_port:
        raise TypeError(f"low_port {low_port} should be smaller than high_port {high_port}")
    os.environ["TCP_LOW_PORT"] = str(low_port)
    os.environ["TCP_HIGH_PORT"] = str(high_port)


def cleanup_staging_directory() -> None:
    """Removes :data:`staging_directory`."""
    if "staging_directory" in globals() and globals()["staging_directory"]:
        shutil.rmtree(globals()["staging_directory"], ignore_errors=True)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'work_queue' has no attribute {name!r}")


def _stage() -> str:
    directory = tempfile.mkdtemp(prefix="wq-py-staging-", dir=os.environ.get("CCTOOLS_TEMP"))
    atexit.register(cleanup_staging_directory)
    return directory


staging_directory = _stage()

__all__ = [
    "Factory",
    "PythonTask",
    "PythonTaskNoResult",
    "RemoteTask",
    "Resources",
    "Stats",
    "Task",
    "Unsupported",
    "WorkQueue",
    "cleanup_staging_directory",
    "compat",
    "set_debug_flag",
    "specify_debug_log",
    "specify_port_range",
    "staging_directory",
    *_constants.__all__,
    *_functions.__all__,
]
