"""What a queue's outcomes go through on their way to whoever waits.

They are taken by a thread of its own. Signals are dealt with by the main thread, between any two steps of it, so no
signal comes between taking an outcome and having it in its place; whoever waits looks at what is there, and loses
nothing by being interrupted.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Collection, Iterator, Sequence, Union

from ._core import MusterError
from ._task import Result, Task

if TYPE_CHECKING:
    from ._core import Core, Outcome, Template

#: What a call is told: its outcome, or why there will be none. By the thread of the mailbox, which it must not hold up.
Told = Callable[[Union["Outcome", MusterError]], None]

#: Outcomes that are taken together.
_MANY = 256
#: Seconds of one wait of the thread; it ends when the queue is closed, whatever this is.
_PATIENCE = 10.0


class Mailbox:
    """Outcomes of one queue, and who wants them.

    :param keeps: The master is told that it may forget an outcome when somebody has it, not when it is here: who is
        killed meanwhile finds it again.
    """

    def __init__(self, core: Core, keeps: bool) -> None:
        self._core = core
        self._keeps = keeps
        self._lock = threading.Lock()
        #: Tasks without an outcome here.
        self.tasks: dict[int, Task] = {}
        #: The same of calls, which nobody waits for.
        self._calls: dict[int, Told] = {}
        #: Results that nobody has, oldest first.
        self._done: dict[int, Result] = {}
        #: What is rung when something has come.
        self._bells: list[Callable[[], object]] = []
        self._failure: MusterError | None = None
        self._pid = os.getpid()
        threading.Thread(target=self._run, name="muster-mailbox", daemon=True).start()

    # -- putting in

    def post(self, owner: Task | Told, template: Template, body: tuple[Sequence[str], list[Any], list[Any]]) -> int:
        """Submits a task or call: its words, inputs and outputs. Returns its number."""
        number = self._core.reserve()
        # Before anything can come back of it.
        if isinstance(owner, Task):
            note = json.dumps({"tag": owner.tag, "command": owner.command}, default=str) if self._keeps else None
            before = owner.id, owner.result
            owner.id, owner.result = number, None
            self.tasks[number] = owner
        else:
            note = None
            self._calls[number] = owner
        try:
            self._core.submit(number, template, (*body, note))
        except BaseException:
            # A signal may have come when it was handed in.
            if not self._core.holds(number):
                self._calls.pop(number, None)
                if self.tasks.pop(number, None) is not None and isinstance(owner, Task):
                    owner.id, owner.result = before
            raise
        return number

    # -- taking out

    def wait(self, wanted: Collection[int] | None, timeout: float | None) -> Result | None:
        """The oldest result, of those that are ``wanted``; ``None`` if the time is over or there is none to wait for.

        :raises MusterError: if none can come any more.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("this queue was made before a fork; a forked process makes its own")
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            number = self._seek(wanted, until)
            if number is None:
                return None
            # Nothing comes between this and the hands of who waits: other threads have another look.
            result = self.claim(number)
            if result is not None:
                return result

    def _seek(self, wanted: Collection[int] | None, until: float | None) -> int | None:
        bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        with self.ringing(lambda: bell.put(None)):
            while True:
                number, is_open = self.look(wanted)
                left = None if until is None else until - time.monotonic()
                if number is not None or not is_open or (left is not None and left <= 0):
                    return number
                try:
                    bell.get(timeout=left)
                except queue.Empty:
                    # One more look.
                    pass

    def look(self, wanted: Collection[int] | None) -> tuple[int | None, bool]:
        """The number of the oldest result that can be claimed, and whether there is one to wait for."""
        with self._lock:
            if wanted is None:
                number = next(iter(self._done), None)
                is_open = bool(self.tasks) or self._core.untaken() > 0
            else:
                number = next((number for number in self._done if number in wanted), None)
                is_open = any(number in self.tasks for number in wanted)
            if number is not None:
                return number, True
            if is_open and self._failure is not None:
                raise MusterError(str(self._failure))
            return None, is_open

    def claim(self, number: int) -> Result | None:
        """Takes a result out; ``None`` if somebody else has it."""
        taken: list[Result] = []
        try:
            # One step, before and after which a signal may come.
            taken.extend(map(self._done.pop, (number,)))
            if self._keeps:
                self._core.accept([taken[0].task_number])
            return taken[0]
        except KeyError:
            return None
        except BaseException:
            for result in taken:
                self._done[number] = result
            raise

    @contextmanager
    def ringing(self, bell: Callable[[], object]) -> Iterator[None]:
        """Calls ``bell`` whenever something comes, by another thread."""
        self._bells.append(bell)
        try:
            yield
        finally:
            self._bells.remove(bell)

    def __len__(self) -> int:
        """Tasks, without calls, whose result nobody has."""
        with self._lock:
            return len(self.tasks) + self._core.untaken() + len(self._done)

    # -- between the two

    def _run(self) -> None:
        while True:
            try:
                is_there = self._core.ready(_PATIENCE)
            except MusterError as error:
                return self._fail(error)
            if is_there:
                self._sort()

    def _sort(self) -> None:
        """Takes what is there and gives it to whom it belongs."""
        called: list[tuple[Told, Outcome]] = []
        with self._lock:
            outcomes = self._core.take(_MANY)
            for outcome in outcomes:
                call = self._calls.pop(outcome.number, None)
                if call is not None:
                    called.append((call, outcome))
                else:
                    self._file(outcome)
        had = [outcome for _, outcome in called] if self._keeps else outcomes
        self._core.accept([outcome.task for outcome in had])
        for call, outcome in called:
            _tell(call, outcome)
        self._ring()

    def _file(self, outcome: Outcome) -> None:
        task = self.tasks.pop(outcome.number, None)
        if task is None and outcome.note is not None:
            # Of an earlier life, as far as it is remembered.
            known = json.loads(outcome.note)
            task = Task(known["command"], tag=known["tag"])
            task.id = outcome.number
        result = Result(task, outcome)
        if task is not None:
            task.result = result
        self._done[outcome.number] = result

    def _fail(self, error: MusterError) -> None:
        with self._lock:
            self._failure = error
            calls = list(self._calls.values())
            self._calls.clear()
        for call in calls:
            _tell(call, error)
        self._ring()

    def _ring(self) -> None:
        for bell in list(self._bells):
            try:
                bell()
            except RuntimeError:
                # A loop of coroutines that has been closed.
                pass


def _tell(call: Told, what: Outcome | MusterError) -> None:
    try:
        call(what)
    except Exception:
        # Of no concern to those whose outcomes come next.
        traceback.print_exc()
