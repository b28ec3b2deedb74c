"""Tasks that are Python functions."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Callable, Sequence

from muster import _executor

from . import _constants as wq
from ._refusals import refuse
from ._task import Task


class PythonTaskNoResult(Exception):
    """The output of a :class:`PythonTask` that has none: its process ended before it had answered."""


class PythonTask(Task):
    """A call of a Python function, pickled by cloudpickle and run by the workers' ``python3``.

    The version of that Python must be this one's; ``MUSTER_PYTHON`` names another interpreter at the workers.
    :attr:`output` is what the function returns, or the exception that it raises.
    """

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(f"call of {getattr(func, '__qualname__', repr(func))}")
        if not callable(func):
            raise TypeError(f"{func!r} is not callable")
        self._call = (func, args, kwargs)
        self._value: Any = None

    def specify_environment(self, env_file: str) -> None:
        """Refused: the workers' own Python is used."""
        raise refuse("specify_environment", "the workers' own python3 is used; MUSTER_PYTHON names another")

    def specify_package(self, env_file: str) -> None:
        """:meth:`specify_environment`, as it was called."""
        self.specify_environment(env_file)

    def specify_command(self, command: str) -> None:
        """Refused: it is a function."""
        raise refuse("specify_command of a PythonTask", "it is a function; use a Task")

    def specify_file_command(self, cmd: str, remote_name: str, *others: Any, **more: Any) -> bool:
        """Refused: a function runs in a process that is there already; let it run the command."""
        raise refuse("a file command of a PythonTask", "let the function run the command")

    def specify_url(self, url: str, remote_name: str, *others: Any, **more: Any) -> bool:
        """Refused, as :meth:`specify_file_command`."""
        raise refuse("a URL of a PythonTask", "let the function fetch it")

    @property
    def output(self) -> Any:
        """What the function returned or raised, or :class:`PythonTaskNoResult`; ``None`` before it has come back."""
        return self._value

    @property
    def std_output(self) -> str | None:
        """What the function printed."""
        return self._written() if self._outcome is None else self._outcome.stderr.decode(errors="replace")

    def _reset(self) -> None:
        super()._reset()
        self._value = None

    def _server(self, queue: Any) -> tuple[str, ...]:
        unset = [word for name, value in self._env.items() if value is None for word in ("-u", name)]
        start = _executor.runner(_interpreter())
        return ("/usr/bin/env", *unset, *start) if unset else start

    def _words(self) -> list[str]:
        func, args, kwargs = self._call
        words, self._pickles = _executor.call(_executor.function_word(func), args, kwargs)
        return words

    def _sources(self) -> list[Any]:
        return [*self._pickles, *super()._sources()]

    def _landings(self) -> list[Any]:
        handle, self._place = tempfile.mkstemp(prefix="muster-answer-")
        os.close(handle)
        return [(_executor.ANSWER, self._place, False, "always"), *super()._landings()]

    def _never(self, result: int, why: str | None = None) -> None:
        super()._never(result, why)
        self._value = PythonTaskNoResult(why or "it was not run")
        self._forget()

    def _end(self, outcome: Any) -> None:
        super()._end(outcome)
        try:
            kind, value, _ = _executor.answer(outcome, _interpreter())
            self._value = _executor.wrong_version(value) if kind == "version" else value
            if kind == "version":
                self._result, self._return_status = wq.WORK_QUEUE_RESULT_FORSAKEN, -1
        except Exception as error:
            self._value = PythonTaskNoResult(str(error))
        self._forget()

    def _forget(self) -> None:
        place = getattr(self, "_place", None)
        if place is not None and os.path.exists(place):
            os.unlink(place)


class RemoteTask(Task):
    """Refused: workers of Muster start no coprocesses."""

    def __init__(self, fn: str, coprocess: str, *args: Any, **kwargs: Any) -> None:
        raise refuse("RemoteTask", "workers start no coprocesses; use PythonTask, whose process stays at the worker")

    def specify_fn_args(self, args: Sequence[Any] = (), kwargs: Any = None) -> None:
        """Refused."""

    def specify_exec_method(self, remote_task_exec_method: str) -> None:
        """Refused."""


def _interpreter() -> str:
    return os.environ.get("MUSTER_PYTHON") or "python3"
