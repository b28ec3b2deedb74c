"""A queue of tasks at a master."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import time
import weakref
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterable, Iterator, Sequence

from . import _binary, _files, _places
from ._core import Core, MusterError
from ._mailbox import Mailbox
from ._stats import Stats
from ._task import Result, Task

if TYPE_CHECKING:
    from types import TracebackType

    from ._map import Ensemble

_queues: weakref.WeakSet[Queue] = weakref.WeakSet()


class Queue:
    """Tasks go in, each comes back exactly once with what became of it.

    The master of a queue lives in this process, on threads of its own: the queue goes on while your code computes. Many
    queues may live in one process, and many threads may use one queue. A queue does not survive ``os.fork()``: the
    child gets a clear error and makes its own.

    :param project: A name under which the queue can be found, and under which it is taken up again: a queue of a
        project keeps a journal, and whoever opens it next finds the tasks that have not been taken, run or not.
        Without a name it is gone when it is closed.
    :param port: The port workers connect to; 0 for any. ``None``: the queue is for this host alone.
    :param keys: The directory of the authority that vouches for workers; by default your own.
    :param catalog: Addresses of the catalog's replicas, where a queue of a project is to be found; by default those of
        the environment's ``MUSTER_CATALOG``.
    """

    def __init__(
        self,
        project: str | None = None,
        *,
        port: int | None = None,
        keys: str | None = None,
        catalog: str | Sequence[str] | None = None,
    ) -> None:
        kept = None if project is None else str(_places.master(_name(project)))
        host, first = ("127.0.0.1", 0) if port is None else ("0.0.0.0", port)
        core = Core.open(
            {
                "project": project or "python",
                "host": host,
                "ports": (first, first),
                "base": str(_places.queues()),
                "kept": kept,
                "keys": str(keys or _places.keys()),
                "register": None if project is None else str(_places.project(project)),
                "catalog": _places.catalog(catalog) if project is not None else [],
            }
        )
        self._begin(core, kept is not None)

    def _begin(self, core: Core, keeps: bool) -> None:
        self._core = core
        self._keeps = keeps
        self._local = False
        self._mailbox = Mailbox(core, keeps)
        # The threads do not hold the queue, so it ends when nobody does.
        self._end = weakref.finalize(self, _close, core, not keeps)
        # At the end of the program by what is registered below, whose place among others is known.
        self._end.atexit = False
        _queues.add(self)

    # -- putting tasks in

    def submit(self, task: Task | str | Sequence[str], **fields: Any) -> Task:
        """Hands a task to the queue and returns it; ``fields`` are those of :class:`Task`.

        It is durable when :meth:`flush` returns, and soon after in any case.

        :raises FileNotFoundError: if an input is not there.
        """
        if not isinstance(task, Task):
            task = Task(task, **fields)
        elif fields:
            raise TypeError("fields belong to the Task that is given")
        if task.id is not None and task.result is None:
            raise ValueError(f"{task!r} has been submitted and has not come back")
        inputs = _files.staged(task.inputs) if task.inputs else []
        outputs = task._landings(os.getcwd()) if task.outputs else []
        self._mailbox.post(task, task._template(), (task.words, inputs, outputs))
        return task

    def submit_all(self, tasks: Iterable[Task]) -> list[Task]:
        """Submits tasks; they are durable when it returns."""
        submitted = [self.submit(task) for task in tasks]
        self.flush()
        return submitted

    def flush(self) -> None:
        """Waits until all that was submitted is durable."""
        self._core.flush()

    # -- getting results out

    def wait(self, timeout: float | None = None) -> Result | None:
        """Waits for the next result; ``None`` when ``timeout`` seconds are over, or there is nothing to wait for.

        ``wait(0)`` looks and does not wait. Ctrl-C ends the wait at once.
        """
        return self._mailbox.wait(None, timeout)

    def wait_for(self, task: Task, timeout: float | None = None) -> Result | None:
        """Waits for the result of one task; other results stay for others. It may be asked for again.

        :raises ValueError: if the task has not been submitted.
        """
        if task.id is None:
            raise ValueError(f"{task!r} has not been submitted")
        return self._mailbox.wait({task.id}, timeout) or task.result

    def as_completed(
        self, tasks: Iterable[Task] | None = None, timeout: float | None = None
    ) -> Iterator[Result]:
        """Yields results as they come: those of ``tasks``, also if somebody has had them, or of all there are.

        :raises TimeoutError: if they are not all there after ``timeout`` seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        given = None if tasks is None else {task.id: task for task in tasks if task.id is not None}
        while given is None or given:
            left = None if until is None else max(0.0, until - time.monotonic())
            result = self._mailbox.wait(given, left)
            if result is None:
                break
            if given is not None:
                given.pop(result.id, None)
            yield result
        had = [task for task in (given or {}).values() if task.result is not None]
        yield from (task.result for task in had if task.result is not None)
        if len(had) < (len(self) if given is None else len(given)):
            raise TimeoutError("not all tasks have come back")

    async def wait_async(self, timeout: float | None = None) -> Result | None:
        """As :meth:`wait`, for ``asyncio``: other coroutines go on meanwhile."""
        import asyncio

        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        bell = asyncio.Event()
        with self._mailbox.ringing(lambda: loop.call_soon_threadsafe(bell.set)):
            while True:
                bell.clear()
                # Whoever is cancelled while it waits has taken nothing.
                number, is_open = self._mailbox.look(None)
                if number is not None:
                    result = self._mailbox.claim(number)
                    if result is None:
                        continue
                    return result
                if not is_open:
                    return None
                try:
                    await asyncio.wait_for(bell.wait(), None if until is None else until - loop.time())
                except asyncio.TimeoutError:
                    return None

    async def __aiter__(self) -> AsyncIterator[Result]:
        while True:
            result = await self.wait_async()
            if result is None:
                return
            yield result

    # -- the rest

    def map(self, command: str | Sequence[str], **fields: Any) -> Ensemble:
        """Runs ``command`` for every value of its parameters; see :func:`muster.map`."""
        from ._map import Ensemble

        return Ensemble(self, command, fields)

    def executor(self, **fields: Any) -> Any:
        """A :class:`muster.Executor` that runs Python functions in this queue."""
        from ._executor import Executor

        return Executor(self, **fields)

    def cancel(self, *tasks: Task, tag: Any = None) -> int:
        """Cancels tasks, those of a tag, or without arguments all; returns how many had not ended.

        Each still comes back, with the status ``cancelled``.
        """
        if tasks:
            numbers = [task.id for task in tasks if task.id is not None and task.result is None]
        else:
            numbers = [n for n, task in list(self._mailbox.tasks.items()) if tag is None or task.tag == tag]
        return self._core.cancel(numbers) if numbers else 0

    def empty(self) -> bool:
        """Whether every task has come back."""
        return len(self._mailbox) == 0

    def __len__(self) -> int:
        return len(self._mailbox)

    @property
    def is_local(self) -> bool:
        """Whether all its workers are children of this process."""
        return self._local

    def __bool__(self) -> bool:
        return True

    def stats(self) -> Stats:
        """How things stand: tasks, workers, sites, losses."""
        return Stats(json.loads(self._core.status()))

    def explain(self, task: Task) -> list[str]:
        """Why a task is not running, or all that happened to it."""
        return [] if task.id is None else self._core.explain(task.id)

    @property
    def address(self) -> str:
        """Where workers and foremen connect to."""
        host, port = self._core.address
        return f"{host}:{port}"

    @property
    def port(self) -> int:
        """The port of :attr:`address`."""
        return self._core.address[1]

    def close(self) -> None:
        """Ends the queue. Tasks of a project stay for the next; others are given up."""
        # At the end of a program a finalizer can be taken back, but does nothing any more.
        if self._end.detach() is not None:
            _close(self._core, not self._keeps)

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    project: str,
    *,
    keys: str | None = None,
    catalog: str | Sequence[str] | None = None,
    patience: float = 60.0,
) -> Queue:
    """A queue at a master that runs already.

    :param project: The name of a project that the catalog knows or that runs under your name on this host, or the
        master's address, ``HOST:PORT``.
    :param keys: The directory of the authority that vouches for the master; by default your own.
    :param catalog: Addresses of the catalog's replicas; by default those of the environment's ``MUSTER_CATALOG``.
    :param patience: Seconds after which a master that was there and cannot be reached is given up.
    :raises ConnectionError: if it cannot be reached, or will not talk.
    """
    keys = str(keys or _places.keys())
    address = project if ":" in project else _find(_name(project), keys, _places.catalog(catalog))
    queue = Queue.__new__(Queue)
    core = Core.connect(address, keys, str(_places.queues()), patience)
    queue._begin(core, False)
    return queue


def _find(project: str, keys: str, catalog: list[str]) -> str:
    """The address of a project's master."""
    if catalog:
        words = [_binary.find(), "projects", "--json", "--catalog", ",".join(catalog), "--keys", keys]
        asked = subprocess.run(words, capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            raise ConnectionError(f"the catalog cannot be asked: {asked.stderr.strip()}")
        for known in json.loads(asked.stdout)["projects"]:
            if known["project"] == project and known["addresses"]:
                return str(known["addresses"][0])
    try:
        address = _places.project(project).read_text().strip()
    except FileNotFoundError:
        told = "the catalog knows no such project, and " if catalog else ""
        raise ConnectionError(
            f"{told}no master of project {project} runs under your name on this host: "
            f"start one with muster master --project {project}, or give HOST:PORT"
        ) from None
    return address.replace("0.0.0.0:", "127.0.0.1:")


def _name(project: str) -> str:
    if not isinstance(project, str):
        raise TypeError(f"project is a text, not {type(project).__name__}")
    if not project or len(project) > 64 or project[0] in ".-" or not project.replace("_", "a").replace(
        "-", "a"
    ).replace(".", "a").isalnum() or not project.isascii():
        raise ValueError(
            f"{project!r} is no name of a project: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with neither - nor ."
        )
    return project


def _close(core: Core, kill: bool) -> None:
    try:
        core.close(kill)
    except (MusterError, OSError):
        # Nobody can act on it.
        pass


@atexit.register
def _close_all() -> None:
    for queue in list(_queues):
        queue.close()
