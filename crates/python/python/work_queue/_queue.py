"""The queue of the drop-in."""

from __future__ import annotations

import json
import os
import queue
import re
import sys
import time
import weakref
from collections import deque
from typing import Any, Callable, Iterable, Sequence

from muster import _places
from muster._core import Core, MusterError
from muster._executor import Executor
from muster._queue import Queue

from . import _constants as wq
from ._logs import StatsLog, TransactionsLog
from ._refusals import refuse, tell
from ._settings import Settings
from ._stats import Stats, make
from ._task import Task

_queues: weakref.WeakSet[WorkQueue] = weakref.WeakSet()


class WorkQueue(Settings):
    """A queue of tasks whose master lives in this process.

    :param port: Where workers connect to: a port, 0 for any, or a range ``(low, high)``.
    :param name: A name by which workers find it, on this host or in the catalog of ``MUSTER_CATALOG``; with a name
        the queue keeps nothing either, and its tasks are gone with it.
    :param shutdown: As :meth:`shutdown_workers` when the queue is deleted.
    :param stats_log: A file for the statistics, a line a second.
    :param transactions_log: A file for what happens to tasks.
    :param debug_log: A file for messages of the master.
    :param ssl: Anything: every link has mutual TLS here, with keys of its own.
    :param status_display_interval: Seconds between lines on standard error that say how things stand.
    """

    def __init__(
        self,
        port: int | Sequence[int] = wq.WORK_QUEUE_DEFAULT_PORT,
        name: str | None = None,
        shutdown: bool = False,
        stats_log: str | None = None,
        transactions_log: str | None = None,
        debug_log: str | None = None,
        ssl: Any = None,
        status_display_interval: float | None = None,
        **others: Any,
    ) -> None:
        for other in others:
            if other == "catalog" and others[other]:
                tell("catalog=True", "the catalog is that of the environment's MUSTER_CATALOG")
            elif other not in ("catalog", "exclusive"):
                raise TypeError(f"WorkQueue() got an unexpected keyword argument {other!r}")
        if ssl and ssl is not True and any(ssl):
            tell("ssl=(key, cert)", "every link has mutual TLS, with keys of Muster's own")
        if debug_log:
            tell("debug_log", "what goes wrong is said by exceptions and results, and on standard error")
        super().__init__()
        self._name = name or os.environ.get("WORK_QUEUE_NAME") or None
        self._ports = _ports(port)
        self._shutdown = bool(shutdown)
        self._keys = str(_places.keys())
        self._begun_us = round(time.time() * 1e6)
        # Not before there is something to be ended.
        self._ended = True
        self._flying: dict[int, Task] = {}
        self._numbers: dict[int, int] = {}
        #: Whether any task has had an end time.
        self._timed = False
        #: Tasks that have come back and that nobody has waited for, by their numbers.
        self._done: dict[int, Task] = {}
        #: Outcomes, put here by a thread of the queue; a task is settled by whoever waits.
        self._inbox: deque[tuple[Task, int, Any]] = deque()
        #: By category, what waits here until others of it have come back.
        self._held: dict[str, deque[tuple[Task, Any]]] = {}
        self._next_id = 1
        self._totals: dict[str, float] = {}
        self._by_category: dict[str, dict[str, float]] = {}
        self._display = status_display_interval
        self._displayed = 0.0
        self._stats_log = StatsLog(stats_log) if stats_log else None
        self._transactions = TransactionsLog(transactions_log) if transactions_log else None
        self._executor: Executor | None = None
        self._queue = self._open()
        self._ended = False
        _queues.add(self)

    def _open(self) -> Queue:
        name = self._name
        if name is not None and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name) is None:
            tell(f"the name {name!r}", "a name here has 1 to 64 of A-Z a-z 0-9 . _ -; others become _")
            name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:64].lstrip(".-") or "queue"
        try:
            core = Core.open(
                {
                    "project": name or "work_queue",
                    "host": "0.0.0.0",
                    "ports": self._ports,
                    "base": str(_places.queues()),
                    "kept": None,
                    "keys": self._keys,
                    "register": None if name is None else str(_places.project(name)),
                    "catalog": [] if name is None else _places.catalog(None),
                }
            )
        except (OSError, MusterError) as error:
            raise Exception(f"Unable to create internal Work Queue structure: {error}") from error
        queue = Queue.__new__(Queue)
        queue._begin(core, False)
        # From here on it is the port that it has, whatever is changed.
        self._ports = (queue.port, queue.port)
        return queue

    def _reopen(self, what: str) -> None:
        """The same with another name or other keys, as long as nothing has been submitted."""
        if self._next_id != 1 or self._totals:
            raise ValueError(f"{what} comes before the first task")
        self._queue.close()
        self._queue = self._open()

    # -- what it is

    @property
    def name(self) -> str | None:
        """The name by which workers find it."""
        return self._name

    @property
    def port(self) -> int:
        """The port that workers connect to."""
        return self._queue.port

    @property
    def using_ssl(self) -> bool:
        """True: every link has mutual TLS."""
        return True

    # -- tasks

    def submit(self, task: Task) -> int:
        """Hands a task to the queue; returns its number.

        One that has come back may be submitted again.
        """
        if not isinstance(task, Task):
            raise TypeError(f"submit takes a Task, not {type(task).__name__}")
        if task._state in (wq.WORK_QUEUE_TASK_READY, wq.WORK_QUEUE_TASK_RUNNING) or task._id in self._flying:
            raise ValueError(f"task {task.id} has been submitted and has not come back")
        # Whatever is wrong with it is found before anything is changed.
        order = task._order(self)
        allocated = task._allocated
        task._reset()
        task._allocated = allocated
        task._id = self._next_id
        self._next_id += 1
        task._state = wq.WORK_QUEUE_TASK_READY
        task._submitted_us = round(time.time() * 1e6)
        self._timed = self._timed or task._end_time is not None
        is_full = self._is_full(task.category)
        self._flying[task._id] = task
        if is_full:
            self._held.setdefault(task.category, deque()).append((task, order))
        else:
            self._send(task, order)
        self._count(task, "tasks_submitted")
        self._log(task, "WAITING", task.category)
        return task._id

    def _send(self, task: Task, order: Any) -> None:
        template, words, files = order
        inbox, number = self._inbox, task._id

        def told(what: Any) -> None:
            # By another thread, and without the queue, which ends when nobody holds it.
            inbox.append((task, number, what))

        try:
            if task._missing is not None:
                raise FileNotFoundError(task._missing)
            self._numbers[number] = self._queue._mailbox.post(told, template, (words, *files))
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            # There, an input that is missing is a result and no exception.
            told(error)
        except BaseException:
            self._flying.pop(number, None)
            task._reset()
            raise

    def _is_full(self, category: str) -> bool:
        most = self._concurrent.get(category, -1)
        return most >= 0 and self._with_master(category) >= most

    def _with_master(self, category: str) -> int:
        held = len(self._held.get(category, ()))
        return sum(task.category == category for task in self._flying.values()) - held

    def _release(self, category: str) -> None:
        held = self._held.get(category)
        while held and not self._is_full(category):
            self._send(*held.popleft())

    def _settle(self) -> None:
        """Brings the tasks back whose outcomes have come. An interruption leaves what is not yet done for the next."""
        while self._inbox:
            task, number, what = self._inbox[0]
            if isinstance(what, MusterError):
                if self._done:
                    return
                raise what
            # One that was cancelled is not waited for; one that was submitted again has another number.
            if self._flying.get(number) is task:
                if isinstance(what, OSError):
                    task._never(wq.WORK_QUEUE_RESULT_INPUT_MISSING, f"an input is missing: {what}\n")
                else:
                    task._end(what)
                self._finish(task)
            self._inbox.popleft()

    def _expire(self) -> float:
        """Brings tasks back whose end time has come before they ended; seconds until the next does."""
        now, left = time.time(), 1.0
        for task in list(self._flying.values()):
            if task._end_time is None:
                continue
            if task._end_time > now:
                left = min(left, max(0.001, task._end_time - now))
            elif self._withdraw(task._id) is task:
                task._never(wq.WORK_QUEUE_RESULT_TASK_TIMEOUT)
                self._finish(task)
        return left

    def _finish(self, task: Task) -> None:
        self._done[task._id] = task
        self._numbers.pop(task._id, None)
        self._flying.pop(task._id, None)
        self._log(task, "RETRIEVED", task.result_str)
        if task.category in self._held:
            self._release(task.category)

    def wait(self, timeout: float = wq.WORK_QUEUE_WAITFORTASK) -> Task | None:
        """Waits for a task to come back, at most ``timeout`` seconds, below 0 for ever; ``None`` if none has, or there
        is none to wait for. ``wait(0)`` looks and does not wait.
        """
        return self._wait(None, timeout)

    def wait_for_tag(self, tag: str | None, timeout: float = wq.WORK_QUEUE_WAITFORTASK) -> Task | None:
        """The same for tasks of a tag; without one, for all."""
        return self._wait(tag, timeout)

    def _wait(self, tag: str | None, timeout: float) -> Task | None:
        until = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        task = self._seek(tag, until)
        return None if task is None else self._claim(task)

    def _seek(self, tag: str | None, until: float | None) -> Task | None:
        """Waits until a task of a tag has come back, which stays where it is."""
        bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        with self._queue._mailbox.ringing(lambda: bell.put(None)):
            while True:
                self._settle()
                left = self._expire() if self._timed else 1.0
                for task in self._done.values():
                    if tag is None or task.tag == tag:
                        return task
                if not any(tag is None or task.tag == tag for task in list(self._flying.values())):
                    return None
                if until is not None:
                    left = min(left, until - time.monotonic())
                    if left <= 0:
                        return None
                try:
                    bell.get(timeout=left)
                except queue.Empty:
                    # One more look.
                    pass
                self._tell_logs()

    def _claim(self, task: Task) -> Task:
        """Takes a task out that has come back. An interruption leaves it for the next."""
        try:
            del self._done[task._id]
            self._count(task, "tasks_done")
            if task.result != wq.WORK_QUEUE_RESULT_SUCCESS:
                self._count(task, "tasks_failed")
            if task.result == wq.WORK_QUEUE_RESULT_RESOURCE_EXHAUSTION:
                self._count(task, "tasks_exhausted_attempts")
                self._count(task, "time_workers_execute_exhaustion", task.cmd_execution_time)
            elif task.result == wq.WORK_QUEUE_RESULT_SUCCESS:
                self._count(task, "time_workers_execute_good", task.cmd_execution_time)
            self._count(task, "time_workers_execute", task.cmd_execution_time)
            self._log(task, "DONE", f"{task.result_str} {task.return_status}")
            task._state = wq.WORK_QUEUE_TASK_DONE
            return task
        except BaseException:
            self._done[task._id] = task
            raise

    def empty(self) -> bool:
        """Whether every task has come back."""
        return not self._flying and not self._done

    def hungry(self) -> int:
        """How many more tasks would keep the workers busy; 0 if there are enough."""
        waiting = sum(len(held) for held in self._held.values())
        if len(self._flying) < self._hungry_minimum:
            return self._hungry_minimum - len(self._flying)
        status = json.loads(self._queue._core.status())
        waiting += int(status["tasks"]["waiting"])
        slots = sum(int(link["slots"]) for link in status["links"] if link["below"])
        return max(0, max(self._hungry_minimum, slots) - waiting)

    def cancel_by_taskid(self, taskid: int) -> Task | None:
        """Takes a task out of the queue, ended if it runs; returns it."""
        task = self._withdraw(taskid)
        if task is None:
            return None
        task._never(wq.WORK_QUEUE_RESULT_UNKNOWN)
        task._state = wq.WORK_QUEUE_TASK_CANCELED
        self._count(task, "tasks_cancelled")
        self._log(task, "CANCELED", "")
        self._release(task.category)
        return task

    def _withdraw(self, taskid: int) -> Task | None:
        """Takes a task away from the master, or from those that are held back."""
        task = self._flying.pop(taskid, None)
        if task is None:
            return None
        number = self._numbers.pop(taskid, None)
        if number is not None:
            self._queue._core.cancel([number])
        else:
            held = self._held[task.category]
            self._held[task.category] = deque(item for item in held if item[0] is not task)
        return task

    def cancel_by_tasktag(self, tag: str) -> Task | None:
        """The same for one task of a tag."""
        return next((self.cancel_by_taskid(task.id) for task in list(self._flying.values()) if task.tag == tag), None)

    def cancel_by_category(self, category: str) -> list[Task]:
        """The same for all tasks of a category."""
        wanted = [task.id for task in self._flying.values() if task.category == category]
        return [task for task in map_(self.cancel_by_taskid, wanted) if task is not None]

    def task_state(self, taskid: int) -> int:
        """One of ``WORK_QUEUE_TASK_*``; those that have been waited for are not known any more."""
        if taskid in self._done:
            return wq.WORK_QUEUE_TASK_RETRIEVED
        number = self._numbers.get(taskid)
        if number is None:
            return wq.WORK_QUEUE_TASK_READY if taskid in self._flying else wq.WORK_QUEUE_TASK_UNKNOWN
        return self._state_of(number)

    def _state_of(self, number: int) -> int:
        told = " ".join(self._queue._core.explain(number))
        # It is with a worker or a foreman, which may have it wait; both are "on workers" there.
        return wq.WORK_QUEUE_TASK_RUNNING if " runs " in told else wq.WORK_QUEUE_TASK_READY

    # -- how things stand

    @property
    def stats(self) -> Stats:
        """How things stand at the master; what foremen have below them is in :attr:`stats_hierarchy`."""
        return make(self, hierarchy=False)

    @property
    def stats_hierarchy(self) -> Stats:
        """How things stand at all workers, at any depth."""
        return make(self, hierarchy=True)

    def stats_category(self, category: str) -> Stats:
        """What is known of one category."""
        counted = self._by_category.get(category, {})
        known = dict(counted)
        own = [task for task in self._flying.values() if task.category == category]
        running = sum(self.task_state(task.id) == wq.WORK_QUEUE_TASK_RUNNING for task in own)
        known.update(tasks_waiting=len(own) - running, tasks_running=running, tasks_on_workers=running)
        known["tasks_with_results"] = sum(task.category == category for task in self._done.values())
        return Stats(known)

    def status(self, request: str) -> list[dict[str, Any]]:
        """Lists of what there is: ``queue``, ``tasks``, ``workers`` or ``categories``."""
        if request in ("queue", "manager"):
            return [{"type": "wq_master", "project": self._name, "port": self.port, **self.stats._as_dict()}]
        if request in ("task", "tasks"):
            names = {wq.WORK_QUEUE_TASK_READY: "WAITING", wq.WORK_QUEUE_TASK_RUNNING: "RUNNING"}
            rows = []
            for task in self._flying.values():
                state = names.get(self.task_state(task.id), "UNKNOWN")
                row = {"taskid": task.id, "state": state, "command": task.command, "tag": task.tag or ""}
                rows.append({**row, "category": task.category, "priority": task.priority})
            return rows
        if request in ("worker", "workers"):
            return self._links()
        if request in ("category", "categories"):
            return [{"category": name, **self.stats_category(name)._as_dict()} for name in sorted(self._by_category)]
        raise ValueError("status is told of queue, tasks, workers or categories")

    def _links(self) -> list[dict[str, Any]]:
        status = json.loads(self._queue._core.status())
        below = {site["foreman"]: site for site in status["sites"]}
        rows = []
        for link in status["links"]:
            if not link["below"] or link["role"] not in ("worker", "foreman"):
                continue
            row = {
                "hostname": link["peer"],
                "site": link["site"],
                "foreman": link["role"] == "foreman",
                "cores_total": link["slots"],
                "tasks_running": link["leased"],
                "total_bytes_sent": link["sent_bytes"],
                "total_bytes_received": link["received_bytes"],
            }
            if link["role"] == "foreman":
                row["workers"] = below.get(link["peer"], {}).get("subordinates", 0)
            rows.append(row)
        return rows

    def workers_summary(self) -> list[dict[str, Any]]:
        """Workers and foremen, by how many cores they have."""
        sizes: dict[int, int] = {}
        for row in self._links():
            sizes[row["cores_total"]] = sizes.get(row["cores_total"], 0) + 1
        return [{"cores": cores, "workers": count} for cores, count in sorted(sizes.items())]

    def estimate_capacity(self) -> int:
        """Tasks that the workers can run side by side."""
        return int(self.stats.capacity_tasks)

    def application_info(self) -> Any:
        """For a program to override; nothing reads it here."""
        return None

    def shutdown_workers(self, n: int) -> None:
        """Accepted with a warning: workers end by themselves, when there has been nothing for them to do for long."""
        tell("shutdown_workers", "workers belong to whoever started them; work_queue_worker ends after its --timeout")

    # -- functions

    def map(self, fn: Callable[..., Any], seq: Iterable[Any], chunksize: int = 1) -> list[Any]:
        """``[fn(x) for x in seq]``, at the workers, ``chunksize`` items together."""
        return list(self._functions().map(fn, seq, chunksize=chunksize))

    def pair(
        self,
        fn: Callable[..., Any],
        seq1: Iterable[Any],
        seq2: Iterable[Any],
        chunksize: int = 1,
        env: str | None = None,
    ) -> list[Any]:
        """``[fn(x, y) for x in seq1 for y in seq2]``, at the workers, ``chunksize`` pairs together."""
        if env is not None:
            raise refuse("an environment file", "the workers' own python3 is used; see MUSTER_PYTHON in the manual")
        second = list(seq2)
        pairs = [(x, y) for x in seq1 for y in second]
        left, right = [x for x, _ in pairs], [y for _, y in pairs]
        return list(self._functions().map(fn, left, right, chunksize=chunksize))

    def tree_reduce(self, fn: Callable[[Any], Any], seq: Iterable[Any], chunksize: int = 2) -> Any:
        """Applies ``fn`` to lists of ``chunksize`` items until one is left."""
        if chunksize < 2:
            raise ValueError("chunksize is at least 2, or there is never one left")
        values = list(seq)
        if not values:
            raise ValueError("there is nothing to reduce")
        executor = self._functions()
        while len(values) > 1:
            chunks = [values[at : at + chunksize] for at in range(0, len(values), chunksize)]
            values = list(executor.map(fn, chunks))
        return values[0]

    def remote_map(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: workers start no coprocesses."""
        raise refuse("remote_map", "workers start no coprocesses; use map")

    def remote_pair(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: workers start no coprocesses."""
        raise refuse("remote_pair", "workers start no coprocesses; use pair")

    def remote_tree_reduce(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: workers start no coprocesses."""
        raise refuse("remote_tree_reduce", "workers start no coprocesses; use tree_reduce")

    def _functions(self) -> Executor:
        if self._executor is None:
            self._executor = Executor(self._queue, python=os.environ.get("MUSTER_PYTHON"))
        return self._executor

    # -- its end

    def delete(self) -> None:
        """Ends the queue and what it has; also at the end of a ``with`` block."""
        if self._ended:
            return
        self._ended = True
        _queues.discard(self)
        if self._shutdown:
            self.shutdown_workers(0)
        for task in self._flying.values():
            task._never(wq.WORK_QUEUE_RESULT_UNKNOWN)
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        if self._stats_log is not None:
            self._stats_log.write(self.stats)
        if self._transactions is not None:
            self._transactions.close()
        self._queue.close()

    def __enter__(self) -> WorkQueue:
        return self

    def __exit__(self, *_: Any) -> None:
        self.delete()

    def __del__(self) -> None:
        if not getattr(self, "_ended", True) and not sys.is_finalizing():
            self.delete()

    # -- within

    def _count(self, task: Task, what: str, amount: float = 1) -> None:
        for counts in (self._totals, self._by_category.setdefault(task.category, {})):
            counts[what] = counts.get(what, 0) + amount

    def _log(self, task: Task, state: str, detail: str) -> None:
        if self._transactions is not None:
            self._transactions.task(task.id, state, detail)

    def _tell_logs(self) -> None:
        if self._stats_log is not None and self._stats_log.is_due():
            self._stats_log.write(self.stats)
        if self._display and time.monotonic() - self._displayed >= self._display:
            self._displayed = time.monotonic()
            now = self.stats
            sys.stderr.write(
                f"{now.workers_connected} workers, {now.tasks_running} tasks running, "
                f"{now.tasks_waiting} waiting, {now.tasks_done} done\n"
            )


map_ = map


def _ports(given: int | Sequence[int]) -> tuple[int, int]:
    """A first and a last port; 0 for any."""
    if isinstance(given, (tuple, list)):
        if len(given) != 2:
            raise TypeError("a range of ports has a low and a high one")
        low, high = (int(port) for port in given)
        if low > high:
            raise TypeError("the low port of a range is not above the high one")
    else:
        if isinstance(given, bool) or not isinstance(given, int):
            raise TypeError(f"port is a number or a pair of numbers, not {type(given).__name__}")
        low = high = max(0, given)
        if low == 0:
            low, high = _ports_of_environment()
    if not 0 <= low <= high <= 65535:
        raise ValueError("a port is from 0 to 65535")
    return low, high


def _ports_of_environment() -> tuple[int, int]:
    port = os.environ.get("WORK_QUEUE_PORT")
    if port:
        return int(port), int(port)
    low = os.environ.get("WORK_QUEUE_LOW_PORT") or os.environ.get("TCP_LOW_PORT")
    high = os.environ.get("WORK_QUEUE_HIGH_PORT") or os.environ.get("TCP_HIGH_PORT")
    if low is None and high is None:
        return 0, 0
    return int(low or 1024), int(high or 32767)
