"""Muster: ensembles of external programs and Python functions, over many workers at many sites.

>>> import muster
>>> with muster.Federation.local(workers=2) as federation:
...     result = federation.submit(["/bin/echo", "hello"]) and federation.wait()
...     result.stdout
'hello\\n'
"""

from __future__ import annotations

from ._core import MusterError
from ._executor import Executor, RemoteError, WorkerCrashed, WrongPython
from ._federation import Federation
from ._map import Ensemble, map, to_pandas
from ._progress import track
from ._queue import Queue, connect
from ._stats import Stats
from ._task import Result, Task, TaskFailed

__all__ = [
    "Ensemble",
    "Executor",
    "Federation",
    "MusterError",
    "Queue",
    "RemoteError",
    "Result",
    "Stats",
    "Task",
    "TaskFailed",
    "WorkerCrashed",
    "WrongPython",
    "connect",
    "map",
    "to_pandas",
    "track",
]
__version__ = "0.1.0"
