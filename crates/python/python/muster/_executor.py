"""Python functions at workers, behind the interface of ``concurrent.futures``."""

from __future__ import annotations

import atexit
import base64
import concurrent.futures
import functools
import inspect
import itertools
import os
import pickle
import sys
import tempfile
import threading
import time
import uuid
import weakref
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Sequence, TypeVar

import cloudpickle

from . import _binary
from ._core import MusterError, Outcome
from ._queue import Queue
from ._task import sentence, template

if TYPE_CHECKING:
    from ._amounts import Seconds, Size
    from ._core import Template

Value = TypeVar("Value")

_executors: weakref.WeakSet[Executor] = weakref.WeakSet()

#: Bytes of a pickle that travel as a word; longer ones are files, which a site gets once.
_WORD_BYTES_MAX = 16 << 10
_VERSION = "%d.%d" % sys.version_info[:2]
#: What a long answer is called in the sandbox.
ANSWER = "__answer__"
_RUNNER = Path(__file__).with_name("_runner.py")


class WorkerCrashed(concurrent.futures.BrokenExecutor):
    """The process that ran a function ended before it had answered, or the call was lost for another reason."""


class WrongPython(concurrent.futures.BrokenExecutor):
    """A worker has another version of Python, which cannot be relied on to run what this one has pickled."""


class RemoteError(Exception):
    """The traceback of an exception, as it was at the worker: the ``__cause__`` of the exception that is raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class Executor(concurrent.futures.Executor):
    """Runs Python functions at workers: a drop-in for the executors of ``concurrent.futures``.

    >>> with muster.Executor() as executor:
    ...     squares = list(executor.map(square, range(1000)))

    Functions and arguments are pickled by cloudpickle, so lambdas and closures work. They run in Python processes that
    stay at the workers, one call at a time in each; what a function keeps in global variables may be there at the next
    call or not. Exceptions come back as themselves, with the remote traceback as their cause. A call that was lost with
    its worker is made again elsewhere: a function may run more than once, its result comes once.

    With ``asyncio`` use ``loop.run_in_executor(executor, function, ...)`` or ``asyncio.wrap_future``.

    :param queue: Where the calls run: a :class:`muster.Queue`, which may be used for other things as well. Without one,
        a federation on this host that ends with the executor.
    :param workers: Workers of that federation; by default one for each core.
    :param python: The interpreter at the workers, with what the functions import. By default this one in a federation of
        its own, else ``python3``. It has the same version as this one; that is checked before any function is sent.
    :param cores: What a call occupies, like ``memory``, ``disk`` and ``gpus``; see :class:`muster.Task`.
    :param env: Variables of the processes' environment. Calls of executors never share a process.
    :param retries: How often a call whose process ended is made again; losing a worker is never charged.
    :param time_limit: Seconds, or a text such as ``"5 min"``, after which a call is ended as failed.
    """

    def __init__(
        self,
        queue: Queue | None = None,
        *,
        workers: int | None = None,
        python: str | None = None,
        cores: float = 1,
        memory: Size | None = None,
        disk: Size | None = None,
        gpus: int = 0,
        env: Mapping[str, str] | None = None,
        priority: int = 0,
        retries: int = 0,
        time_limit: Seconds | None = None,
        category: str = "calls",
    ) -> None:
        local = queue is None or queue.is_local
        interpreter = python or (sys.executable if local else "python3")
        variables = {str(name): str(value) for name, value in (env or {}).items()}
        if local:
            # What this process can import and start, its children can.
            variables.setdefault("MUSTER_BIN", _binary.find())
            variables.setdefault("PYTHONPATH", os.pathsep.join(os.path.abspath(path) for path in sys.path))
        variables["MUSTER_EXECUTOR"] = uuid.uuid4().hex
        self._template: Template = template(
            server=runner(interpreter),
            env=variables,
            cores=cores,
            memory=memory,
            disk=disk,
            gpus=gpus,
            category=category,
            priority=priority,
            retries=retries,
            time_limit=time_limit,
            prefer=(),
            algorithm=None,
            fast_abort=None,
        )
        self._own = queue is None
        self._interpreter = interpreter
        self._queue: Queue = _federation(workers) if queue is None else queue
        #: Held again by callbacks of futures that are cancelled.
        self._lock = threading.RLock()
        self._closing = False
        #: Calls that are not done.
        self._pending: set[_Future] = set()
        #: Where long answers go until they are read.
        self._answers = tempfile.TemporaryDirectory(prefix="muster-answers-")
        self._numbers = itertools.count()
        #: Calls that wait for the version at the workers to be known; ``None`` once it is.
        self._held: list[tuple[_Future, list[str], list[Any]]] | None = []
        self._greeting: int | None = None
        self._greeting = self._post([_VERSION], [], self._greeted)
        _executors.add(self)

    # -- what executors have

    def submit(self, fn: Callable[..., Value], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Value]:
        """Calls ``fn(*args, **kwargs)`` at a worker.

        :raises TypeError: if it is not callable, or what is to be sent cannot be pickled.
        :raises RuntimeError: after :meth:`shutdown`.
        """
        return self._submit(function_word(fn), args, kwargs)

    def _submit(
        self, function: tuple[str, list[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> concurrent.futures.Future[Any]:
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")
        words, files = call(function, args, kwargs)
        future = _Future(self)
        with self._lock:
            self._pending.add(future)
            if self._held is not None:
                self._held.append((future, words, files))
                return future
        self._send(future, words, files)
        return future

    def map(
        self,
        fn: Callable[..., Value],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Value]:
        """As the built-in ``map``, at the workers; ``chunksize`` items go together in a call.

        :raises TimeoutError: by the iterator, if a value is not there ``timeout`` seconds after the call of this.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        until = None if timeout is None else time.monotonic() + timeout
        items: Iterable[tuple[Any, ...]] = zip(*iterables)
        if chunksize > 1:
            word, files = function_word(fn)
            futures = [self._submit(("*" + word, files), (chunk,), {}) for chunk in _chunks(items, chunksize)]
            return itertools.chain.from_iterable(_values(futures, until))
        function = function_word(fn)
        return _values([self._submit(function, item, {}) for item in items], until)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls; waits for those that there are, unless told not to, or cancels them."""
        with self._lock:
            self._closing = True
            pending = list(self._pending)
        if cancel_futures:
            for future in pending:
                future.cancel()
        if wait:
            concurrent.futures.wait(pending)
        self._end_if_done()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        # Whoever presses Ctrl-C does not want to wait for the rest.
        self.shutdown(cancel_futures=kind is not None and issubclass(kind, KeyboardInterrupt))

    # -- how

    def _post(self, words: list[str], files: list[Any], told: Callable[[Any], None]) -> int:
        place = f"{self._answers.name}/{next(self._numbers)}"
        body = (words, files, [(ANSWER, place, False, "always")])
        return self._queue._mailbox.post(told, self._template, body)

    def _send(self, future: _Future, words: list[str], files: list[Any]) -> None:
        if future.cancelled():
            return
        try:
            future.number = self._post(words, files, functools.partial(self._arrived, future))
        except BaseException:
            self._forget(future)
            raise
        if future.cancelled():
            self._cancel(future.number)

    def _greeted(self, what: Outcome | MusterError) -> None:
        """The version at the workers is known: what has waited for it goes, or fails."""
        self._greeting = None
        problem: Exception | None = None
        try:
            kind, value, _ = answer(what, self._interpreter)
            if kind == "version":
                problem = wrong_version(value)
        except Exception as error:
            problem = error
        while True:
            with self._lock:
                held, self._held = self._held, []
                if not held:
                    # From now on each call goes by itself; the process that runs it checks the version again.
                    self._held = None
                    return
            for future, words, files in held:
                try:
                    if problem is not None:
                        raise problem
                    self._send(future, words, files)
                except Exception as error:
                    self._settle(future, error=error)

    def _arrived(self, future: _Future, what: Outcome | MusterError) -> None:
        try:
            kind, value, text = answer(what, self._interpreter)
            if kind == "value":
                return self._settle(future, value)
            if kind == "version":
                raise wrong_version(value)
            if not isinstance(value, BaseException):
                raise RuntimeError(f"an exception that cannot be made again: {value!r}")
            value.__cause__ = RemoteError(text)
            self._settle(future, error=value)
        except Exception as error:
            self._settle(future, error=error)

    def _settle(self, future: _Future, value: Any = None, error: BaseException | None = None) -> None:
        with self._lock:
            is_wanted = not future.cancelled() and future.set_running_or_notify_cancel()
        if is_wanted and error is not None:
            future.set_exception(error)
        elif is_wanted:
            future.set_result(value)
        self._forget(future)

    def _forget(self, future: _Future) -> None:
        with self._lock:
            self._pending.discard(future)
        self._end_if_done()

    def _end_if_done(self) -> None:
        """After a shutdown, when all calls are done: the federation and the directory of answers."""
        with self._lock:
            if not self._closing or self._pending or self not in _executors:
                return
            _executors.discard(self)
            greeting, self._greeting = self._greeting, None
        if greeting is not None:
            # Nobody waits for the answer, which comes only if there is a worker.
            self._cancel(greeting)
        if self._own:
            self._queue.close()
        self._answers.cleanup()

    def _cancel(self, number: int) -> None:
        try:
            self._queue._core.cancel([number])
        except MusterError:
            # Of a queue that is closed nothing runs.
            pass


class _Future(concurrent.futures.Future):  # type: ignore[type-arg]
    """A call. Cancelling it ends it, even while it runs."""

    def __init__(self, executor: Executor) -> None:
        super().__init__()
        self._executor = executor
        self.number: int | None = None

    def cancel(self) -> bool:
        with self._executor._lock:
            if self.cancelled():
                return True
            if not super().cancel():
                return False
            # Those who wait for it hear of it.
            self.set_running_or_notify_cancel()
        if self.number is not None:
            self._executor._cancel(self.number)
        self._executor._forget(self)
        return True


def _chunks(items: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _values(futures: list[concurrent.futures.Future[Any]], until: float | None) -> Iterator[Any]:
    """The values in order; what has not been yielded is cancelled when nobody wants more."""

    def values() -> Iterator[Any]:
        futures.reverse()
        try:
            while futures:
                left = None if until is None else until - time.monotonic()
                future = futures.pop()
                try:
                    value = future.result(left)
                finally:
                    # Nothing, if it is done.
                    future.cancel()
                yield value
        finally:
            for future in futures:
                future.cancel()

    return values()


def _federation(workers: int | None) -> Any:
    from ._federation import Federation

    return Federation.local(sites=0, workers=workers)


def runner(interpreter: str) -> tuple[str, ...]:
    """The words that start the process which runs functions. It needs a Python of our version and nothing more."""
    return (interpreter, "-u", "-c", _RUNNER.read_text(), _pickler())


@functools.lru_cache(maxsize=None)
def _pickler() -> str:
    """The text of cloudpickle, for processes that may have another or none."""
    sent = getattr(cloudpickle.cloudpickle, "__muster_text__", None)
    if sent is not None:
        # This process has it from an executor itself.
        return str(sent)
    return base64.b64encode(zlib.compress(inspect.getsource(cloudpickle.cloudpickle).encode(), 9)).decode()


def function_word(fn: Callable[..., Any]) -> tuple[str, list[Any]]:
    """The word that names a function, and the file that goes along if it is long.

    :raises TypeError: if it is not callable, or cannot be pickled.
    """
    if not callable(fn):
        raise TypeError(f"{fn!r} is not callable")
    pickled = _pickle(fn)
    if len(pickled) <= _WORD_BYTES_MAX:
        return base64.b64encode(pickled).decode(), []
    return "<function", [(pickled, "function", "data")]


def call(
    function: tuple[str, list[Any]], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[str], list[Any]]:
    """The words and the files of a call."""
    word, files = function
    arguments = _pickle((tuple(args), dict(kwargs)))
    if len(arguments) <= _WORD_BYTES_MAX:
        return [_VERSION, word, base64.b64encode(arguments).decode()], files
    return [_VERSION, word, "<arguments"], [*files, (arguments, "arguments", "data")]


def _pickle(value: Any) -> bytes:
    """Arguments: the ordinary pickle, which is faster, unless there is something in them that is of ``__main__``."""
    try:
        pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        if b"__main__" not in pickled and b"__mp_main__" not in pickled:
            return pickled
    except Exception:
        # What it does not take, the other may.
        pass
    return _cloudpickle(value)


def _cloudpickle(value: Any) -> bytes:
    try:
        pickled: bytes = cloudpickle.dumps(value)
    except Exception as error:
        raise TypeError(f"this cannot be sent to a worker: {error}") from error
    return pickled


def wrong_version(theirs: str) -> WrongPython:
    return WrongPython(
        f"this is Python {_VERSION} and the worker's is {theirs}; name another interpreter by Executor(python=...)"
    )


def answer(outcome: Outcome | MusterError, interpreter: str) -> tuple[str, Any, str]:
    """What a call's process answered.

    :raises WorkerCrashed: if it did not.
    """
    if isinstance(outcome, MusterError):
        raise WorkerCrashed(str(outcome))
    if outcome.kind == "done":
        path = {name: path for name, path, _ in outcome.outputs}.get(ANSWER)
        data = outcome.stdout
        if path is not None:
            data = Path(path).read_bytes()
            os.unlink(path)
        if data:
            told: tuple[str, Any, str] = pickle.loads(data)
            return told
    if outcome.kind in ("not_found", "not_executable"):
        raise WorkerCrashed(f"there is no {interpreter} at the worker; name another by Executor(python=...)")
    text = outcome.stderr.decode(errors="replace").strip()
    raise WorkerCrashed(": ".join([f"the call {sentence(outcome) or 'was not answered'}", *text.splitlines()[-1:]]))


@atexit.register
def _finish() -> None:
    """What executors of the standard library do at the end of a program: wait for what was submitted."""
    for executor in list(_executors):
        executor.shutdown()
