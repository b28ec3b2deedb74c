"""Tasks of the drop-in."""

from __future__ import annotations

import copy
import math
import os
import re
import shlex
import sys
import time
from typing import Any, Mapping

from muster import _files
from muster._task import template

from . import _constants as wq
from ._refusals import refuse, tell

_MIB = 1 << 20
#: Priorities are whole numbers here, so thousandths of them are.
_PRIORITY_MAX = 2_000_000_000
#: A command that the shell would run as it is: an absolute program and words without meaning to the shell.
PLAIN = re.compile(r"/[\w./+-]+(?: +[\w./:=,+@%-]+)*")


class Resources:
    """An amount of each resource; what is not known or not asked for is -1."""

    _names = ("cores", "memory", "disk", "gpus", "wall_time", "cpu_time", "end", "start")

    def __init__(self, **known: float) -> None:
        for name in self._names:
            setattr(self, name, known.get(name, -1))

    def __repr__(self) -> str:
        told = ", ".join(f"{n}={getattr(self, n)}" for n in self._names if getattr(self, n) != -1)
        return f"<Resources {told}>"


def default_cache() -> bool:
    """Whether files are cached if nothing is said: not, but for scripts of the talk's era; see :func:`compat`."""
    return _era["cache"]


_era = {"cache": os.environ.get("WORK_QUEUE_ERA", "") in ("3", "4", "talk")}


def compat(era: str | int) -> None:
    """Chooses the defaults of an era: ``"talk"``, 3 or 4 (files are cached by default), or ``"current"``.

    Muster names files by what is in them, so a file crosses to a site once either way and is never out of date; the
    flag decides nothing else.
    """
    if str(era) not in ("talk", "3", "4", "7", "current"):
        raise ValueError(f"{era!r} is no era: talk, 3, 4, 7 or current")
    _era["cache"] = str(era) in ("talk", "3", "4")


class Task:
    """A command for ``/bin/sh``, with the files it needs and leaves."""

    def __init__(self, command: str) -> None:
        if isinstance(command, bytes):
            command = command.decode()
        if not isinstance(command, str):
            raise TypeError(f"the command of a task is a text, not {type(command).__name__}")
        self._command = command
        self._inputs: list[tuple[Any, str, str]] = []
        self._outputs: list[tuple[str, str, str]] = []
        self._before: list[str] = []
        self._env: dict[str, str | None] = {}
        self._resources: dict[str, float] = {}
        self._category = "default"
        self._tag: str | None = None
        self._priority = 0.0
        self._algorithm = wq.WORK_QUEUE_SCHEDULE_UNSET
        self._preferred: list[str] = []
        self._running_time_max: float | None = None
        self._end_time: float | None = None
        self._missing: str | None = None
        self._reset()

    def _reset(self) -> None:
        self._id = 0
        self._state = wq.WORK_QUEUE_TASK_UNKNOWN
        self._outcome: Any = None
        self._result = wq.WORK_QUEUE_RESULT_UNKNOWN
        self._return_status = -1
        self._submitted_us = 0
        self._allocated: dict[str, float] = {}
        #: What it says in place of a command that did not run.
        self._std_output: str | None = None

    # -- what it is

    def clone(self) -> Task:
        """A new task with the same specification."""
        other = copy.copy(self)
        for name in ("_inputs", "_outputs", "_before", "_preferred"):
            setattr(other, name, list(getattr(self, name)))
        other._env, other._resources = dict(self._env), dict(self._resources)
        other._reset()
        return other

    def specify_command(self, command: str) -> None:
        """Replaces the command."""
        self._command = str(command)

    def specify_algorithm(self, algorithm: int) -> None:
        """How a worker is chosen: one of ``WORK_QUEUE_SCHEDULE_*``."""
        if algorithm not in wq.ALGORITHMS and algorithm != wq.WORK_QUEUE_SCHEDULE_UNSET:
            raise ValueError(f"{algorithm!r} is none of WORK_QUEUE_SCHEDULE_*")
        self._algorithm = algorithm

    def specify_tag(self, tag: str | None) -> None:
        """A text by which you recognise the task."""
        self._tag = None if tag is None else str(tag)

    def specify_category(self, name: str) -> None:
        """Tasks of one category are alike."""
        self._category = str(name)

    def specify_preferred_host(self, hostname: str) -> None:
        """Prefers a host or site (of the talk's era)."""
        self._preferred.append(str(hostname))

    def specify_feature(self, name: str) -> None:
        """Refused: workers of Muster have no features."""
        raise refuse("specify_feature", "workers have no features; use specify_preferred_host, or a queue of its own")

    def specify_coprocess(self, name: str) -> None:
        """Refused: workers of Muster start no coprocesses."""
        raise refuse("specify_coprocess", "workers start no coprocesses; use PythonTask or muster.Executor")

    # -- its files

    def specify_file(
        self,
        local_name: str,
        remote_name: str | None = None,
        type: int | None = None,
        flags: int | None = None,
        cache: bool | None = None,
        failure_only: bool | None = None,
    ) -> bool:
        """A file that goes along, or comes back (``type=WORK_QUEUE_OUTPUT``)."""
        remote = _remote(local_name, remote_name)
        flags = _flags(flags, cache, failure_only)
        local = os.fspath(local_name)
        if _is_output(type):
            self._outputs.append((local, remote, _when(flags)))
        else:
            self._inputs.append((local, remote, "auto"))
        return True

    def specify_input_file(
        self, local_name: str, remote_name: str | None = None, flags: int | None = None, cache: bool | None = None
    ) -> bool:
        """A file that goes along; known to the command by ``remote_name``, or its base name."""
        return self.specify_file(local_name, remote_name, wq.WORK_QUEUE_INPUT, flags, cache)

    def specify_output_file(
        self,
        local_name: str,
        remote_name: str | None = None,
        flags: int | None = None,
        cache: bool | None = None,
        failure_only: bool | None = None,
    ) -> bool:
        """A file that comes back, to ``local_name``."""
        return self.specify_file(local_name, remote_name, wq.WORK_QUEUE_OUTPUT, flags, cache, failure_only)

    def specify_directory(
        self,
        local_name: str,
        remote_name: str | None = None,
        type: int | None = None,
        flags: int | None = None,
        recursive: bool = False,
        cache: bool | None = None,
        failure_only: bool | None = None,
    ) -> bool:
        """A directory that goes along or comes back; an input that is not ``recursive`` is an empty one there."""
        remote = _remote(local_name, remote_name)
        if _is_output(type):
            return self.specify_file(local_name, remote, type, flags, cache, failure_only)
        if recursive:
            return self.specify_file(local_name, remote, type, flags, cache)
        self._inputs.append((_files.packed([], ["."]), remote, "archive"))
        return True

    def specify_buffer(
        self, buffer: str | bytes, remote_name: str, flags: int | None = None, cache: bool | None = None
    ) -> bool:
        """Bytes, or a text, that are a file in the sandbox."""
        _flags(flags, cache, None)
        contents = buffer.encode() if isinstance(buffer, str) else bytes(buffer)
        self._inputs.append((contents, str(remote_name), "data"))
        return True

    def specify_input_buf(self, buffer: str | bytes, remote_name: str) -> bool:
        """:meth:`specify_buffer`, as the talk's era called it."""
        return self.specify_buffer(buffer, remote_name)

    def specify_url(
        self,
        url: str,
        remote_name: str,
        type: int | None = None,
        flags: int | None = None,
        cache: bool | None = None,
        failure_only: bool | None = None,
    ) -> bool:
        """A file that ``curl`` brings to the worker before the command runs."""
        return self.specify_file_command(f"curl -sSfLo %% {shlex.quote(url)}", remote_name, type, flags, cache)

    def specify_file_command(
        self,
        cmd: str,
        remote_name: str,
        type: int | None = None,
        flags: int | None = None,
        cache: bool | None = None,
        failure_only: bool | None = None,
    ) -> bool:
        """A file that a command makes at the worker before the task's own runs; ``%%`` is its name there."""
        if _is_output(type):
            raise refuse("a file command for an output", "let the task's own command do it")
        _flags(flags, cache, failure_only)
        if "%%" not in cmd and "%%" in str(remote_name):
            # The talk's era had the two the other way round.
            cmd, remote_name = remote_name, cmd
        self._before.append(cmd.replace("%%", shlex.quote(str(remote_name))))
        return True

    def specify_file_piece(
        self,
        local_name: str,
        remote_name: str | None = None,
        start_byte: int = 0,
        end_byte: int = 0,
        type: int | None = None,
        flags: int | None = None,
        cache: bool | None = None,
        failure_only: bool | None = None,
    ) -> bool:
        """The bytes of a file from ``start_byte`` to ``end_byte``, both included; 0 is the end of the file."""
        if _is_output(type):
            raise refuse("a piece of a file as an output", "name the whole file")
        remote = _remote(local_name, remote_name)
        _flags(flags, cache, failure_only)
        if start_byte < 0 or (end_byte and end_byte < start_byte):
            raise ValueError("a piece begins at a byte of the file, and ends after it")
        try:
            with open(local_name, "rb") as file:
                file.seek(start_byte)
                contents = file.read(end_byte - start_byte + 1) if end_byte else file.read()
        except OSError:
            self._missing = os.fspath(local_name)
            return False
        self._inputs.append((contents, remote, "data"))
        return True

    def specify_snapshot_file(self, filename: str) -> None:
        """Refused: there is no resource monitor."""
        raise refuse("specify_snapshot_file", "there is no resource monitor to take snapshots")

    def specify_monitor_output(self, directory: str) -> None:
        """Refused: there is no resource monitor."""
        raise refuse("specify_monitor_output", "there is no resource monitor; see resources_measured")

    # -- how it runs

    def specify_max_retries(self, max_retries: int) -> None:
        """Accepted with a warning: Muster never charges the loss of a worker to a task."""
        if max_retries:
            tell("specify_max_retries", "the loss of a worker is never charged to a task; after 100 it is given up")

    def specify_cores(self, cores: float) -> None:
        """Cores it occupies."""
        self._resources["cores"] = _amount(cores, "cores")

    def specify_memory(self, memory: float) -> None:
        """Memory it occupies, in MB."""
        self._resources["memory"] = _amount(memory, "memory")

    def specify_disk(self, disk: float) -> None:
        """Disk it occupies, in MB; one that takes more is ended."""
        self._resources["disk"] = _amount(disk, "disk")

    def specify_gpus(self, gpus: int) -> None:
        """Graphics processors it occupies."""
        self._resources["gpus"] = _amount(gpus, "gpus")

    def specify_priority(self, priority: float) -> None:
        """Greater goes first."""
        self._priority = float(priority)

    def specify_running_time(self, useconds: float) -> None:
        """The longest it may run, in microseconds."""
        self._running_time_max = float(useconds) / 1e6 or None

    def specify_running_time_max(self, seconds: float) -> None:
        """The longest it may run, in seconds."""
        self._running_time_max = float(seconds) or None

    def specify_running_time_min(self, seconds: float) -> None:
        """Accepted with a warning: workers do not say how long they will be there."""
        if seconds:
            tell("specify_running_time_min", "workers do not say how long they will be there; it is not looked at")

    def specify_end_time(self, useconds: float) -> None:
        """When it must have ended, in microseconds since 1970 (seconds, in the talk's era)."""
        # No date of the talk's era, in microseconds, is as small as one in seconds.
        self._end_time = float(useconds) / (1e6 if useconds > 1e12 else 1.0) if useconds else None

    def specify_start_time_min(self, useconds: float) -> None:
        """Refused, unless it is past: a master starts what it can."""
        if useconds / 1e6 > time.time():
            raise refuse("specify_start_time_min", "a master starts what it can; submit the task when it may start")

    def specify_environment_variable(self, name: str, value: str | None = None) -> None:
        """Sets a variable of the command's environment; without a value, takes it away."""
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"{name!r} is no name of a variable")
        self._env[name] = None if value is None else str(value)

    # -- what it is and what became of it

    @property
    def tag(self) -> str | None:
        """The text given by :meth:`specify_tag`."""
        return self._tag

    @tag.setter
    def tag(self, tag: str) -> None:
        self.specify_tag(tag)

    @property
    def category(self) -> str:
        """The name given by :meth:`specify_category`."""
        return self._category

    @property
    def command(self) -> str:
        """The command."""
        return self._command

    @command.setter
    def command(self, command: str) -> None:
        self.specify_command(command)

    @property
    def priority(self) -> float:
        """The number given by :meth:`specify_priority`."""
        return self._priority

    @property
    def algorithm(self) -> int:
        """The choice of :meth:`specify_algorithm`."""
        return self._algorithm

    @algorithm.setter
    def algorithm(self, algorithm: int) -> None:
        self.specify_algorithm(algorithm)

    @property
    def preferred_host(self) -> str | None:
        """The first host of :meth:`specify_preferred_host`."""
        return self._preferred[0] if self._preferred else None

    @property
    def output(self) -> str | None:
        """What the command wrote, standard error included; ``None`` before it has come back."""
        return self._written()

    @property
    def std_output(self) -> str | None:
        """:attr:`output`."""
        return self._written()

    @property
    def id(self) -> int:
        """The number that ``submit`` returned."""
        return self._id

    @property
    def taskid(self) -> int:
        """:attr:`id`, as the talk's era called it."""
        return self._id

    @property
    def status(self) -> int:
        """:attr:`return_status`, as the talk's era called it."""
        return self._return_status

    @property
    def return_status(self) -> int:
        """The exit code, the signal that ended the command, or -1 if it did not run."""
        return self._return_status

    @property
    def result(self) -> int:
        """One of ``WORK_QUEUE_RESULT_*``."""
        return self._result

    @property
    def result_str(self) -> str:
        """The name of :attr:`result`."""
        return wq.RESULT_NAMES.get(self._result, "UNKNOWN")

    @property
    def total_submissions(self) -> int:
        """Attempts made."""
        return self._outcome.attempts if self._outcome else 0

    @property
    def exhausted_attempts(self) -> int:
        """Attempts that ended for want of a resource."""
        return int(self._result == wq.WORK_QUEUE_RESULT_RESOURCE_EXHAUSTION)

    @property
    def host(self) -> str:
        """The worker that ran it, and its site."""
        return f"{self._outcome.worker}@{self._outcome.site}" if self._outcome else ""

    @property
    def hostname(self) -> str:
        """The worker that ran it."""
        return self._outcome.worker if self._outcome else ""

    @property
    def submit_time(self) -> int:
        """When it was submitted, in microseconds since 1970, as all these times are."""
        return self._submitted_us

    @property
    def finish_time(self) -> int:
        """When its outcome came."""
        return self._outcome.finished_ms * 1000 if self._outcome else 0

    @property
    def execute_cmd_start(self) -> int:
        """When the command began; told from its end."""
        return max(0, self.finish_time - self.cmd_execution_time) if self._outcome else 0

    @property
    def execute_cmd_finish(self) -> int:
        """When the command ended: when its outcome came, at the latest."""
        return self.finish_time

    @property
    def app_delay(self) -> int:
        """0: a finished task does not wait for the program here."""
        return 0

    @property
    def cmd_execution_time(self) -> int:
        """How long the attempt that counts ran, in microseconds."""
        return round(self._outcome.seconds * 1e6) if self._outcome else 0

    @property
    def total_bytes_received(self) -> int:
        """Bytes of its outputs."""
        return sum(size for _, _, size in self._outcome.outputs) if self._outcome else 0

    @property
    def resources_requested(self) -> Resources:
        """What was asked for."""
        return Resources(**self._resources)

    @property
    def resources_allocated(self) -> Resources:
        """What it occupied, once it is submitted: what was asked for, within its category; one core if nothing was."""
        return Resources(**self._allocated)

    @property
    def resources_measured(self) -> Resources:
        """What it took; memory in MB, times in microseconds."""
        if self._outcome is None:
            return Resources()
        return Resources(
            memory=-(-self._outcome.rss_bytes // _MIB),
            wall_time=self.cmd_execution_time,
            cpu_time=round(self._outcome.cpu_seconds * 1e6),
        )

    @property
    def limits_exceeded(self) -> Resources | None:
        """The limit that ended it, if one did."""
        if self._outcome is None or self._outcome.kind != "exhausted":
            return None
        return Resources(disk=self._resources.get("disk", -1))

    # Files move between daemons and not between a task and this process, so these have no time of their own.
    send_input_start = submit_time
    send_input_finish = execute_cmd_start
    receive_output_start = execute_cmd_finish
    receive_output_finish = finish_time
    total_cmd_execution_time = cmd_execution_time

    @property
    def total_cmd_exhausted_execute_time(self) -> int:
        """How long exhausted attempts ran."""
        return self.cmd_execution_time if self.exhausted_attempts else 0

    @property
    def total_bytes_sent(self) -> int:
        """Bytes of its inputs that are known here."""
        return sum(len(source) for source, _, _ in self._inputs if isinstance(source, bytes))

    @property
    def total_bytes_transferred(self) -> int:
        """Both."""
        return self.total_bytes_sent + self.total_bytes_received

    @property
    def total_transfer_time(self) -> int:
        """0: it is not known of one task how long its files took."""
        return 0

    # -- for the queue

    def _written(self) -> str | None:
        if self._outcome is None:
            return self._std_output
        written: bytes = self._outcome.stdout + self._outcome.stderr
        return written.decode(errors="replace")

    def _order(self, queue: Any) -> tuple[Any, list[str], tuple[list[Any], list[Any]]]:
        """What the core takes: a template, words, and files."""
        resources = self._allocated = queue._resources(self)
        made = template(
            env={name: value for name, value in self._env.items() if value is not None},
            cores=resources["cores"],
            memory=resources.get("memory", 0) * _MIB,
            disk=resources.get("disk", 0) * _MIB,
            gpus=int(resources.get("gpus", 0)),
            category=self._category,
            priority=max(-_PRIORITY_MAX, min(_PRIORITY_MAX, round(self._priority * 1000))),
            retries=0,
            time_limit=self._limit(resources.get("wall_time")),
            prefer=self._preferred,
            algorithm=queue._choice(self),
            fast_abort=queue._abort(self._category),
            server=self._server(queue),
        )
        return made, self._words(), (self._sources(), self._landings())

    def _server(self, queue: Any) -> tuple[str, ...] | None:
        return None

    def _words(self) -> list[str]:
        if self._before or None in self._env.values() or not PLAIN.fullmatch(self._command):
            return ["/bin/sh", "-c", self._script()]
        return self._command.split()

    def _sources(self) -> list[Any]:
        named = {remote: (source, remote, form) for source, remote, form in self._inputs}
        files: list[Any] = []
        for source, remote, form in named.values():
            if isinstance(source, str) and os.path.isdir(source):
                files.extend(_files.staged([(source, remote)]))
            else:
                files.append((source, remote, form))
        return files

    def _landings(self) -> list[Any]:
        here = os.getcwd()
        return [(remote, os.path.join(here, local), True, when) for local, remote, when in self._outputs]

    def _limit(self, category: float | None) -> float | None:
        """Seconds it may run, from all that limits it; whole ones, so that alike tasks are alike."""
        limits = [limit for limit in (self._running_time_max, category) if limit and limit > 0]
        if self._end_time is not None:
            limits.append(max(1.0, math.ceil(self._end_time - time.time())))
        return min(limits, default=None)

    def _never(self, result: int, why: str | None = None) -> None:
        """It came back without having been run."""
        self._result, self._return_status, self._std_output = result, -1, why

    def _script(self) -> str:
        unset = [f"unset {shlex.quote(name)}" for name, value in self._env.items() if value is None]
        steps = [f"{step} || exit 1" for step in self._before]
        return "\n".join(["exec 2>&1", *unset, *steps, self._command])

    def _end(self, outcome: Any) -> None:
        self._outcome = outcome
        self._state = wq.WORK_QUEUE_TASK_DONE
        self._result, self._return_status = judge(outcome)
        if outcome.kind == "time_limit" and self._end_time is not None and time.time() >= self._end_time:
            self._result = wq.WORK_QUEUE_RESULT_TASK_TIMEOUT


def judge(outcome: Any) -> tuple[int, int]:
    """The result and the return status of an outcome."""
    kind, code = outcome.kind, outcome.code
    if kind in ("done", "exit", "not_found", "not_executable"):
        if outcome.missing:
            return wq.WORK_QUEUE_RESULT_OUTPUT_MISSING, code
        return wq.WORK_QUEUE_RESULT_SUCCESS, code
    known = {
        "signal": (wq.WORK_QUEUE_RESULT_SIGNAL, code),
        "output_missing": (wq.WORK_QUEUE_RESULT_OUTPUT_MISSING, 0),
        "input_missing": (wq.WORK_QUEUE_RESULT_INPUT_MISSING, -1),
        "bad_archive": (wq.WORK_QUEUE_RESULT_INPUT_MISSING, -1),
        "time_limit": (wq.WORK_QUEUE_RESULT_TASK_MAX_RUN_TIME, 9),
        "exhausted": (wq.WORK_QUEUE_RESULT_RESOURCE_EXHAUSTION, 9),
        "too_much_output": (wq.WORK_QUEUE_RESULT_STDOUT_MISSING, 9),
        "lost_too_often": (wq.WORK_QUEUE_RESULT_MAX_RETRIES, -1),
        "cannot_start": (wq.WORK_QUEUE_RESULT_FORSAKEN, -1),
        "not_brought": (wq.WORK_QUEUE_RESULT_OUTPUT_TRANSFER_ERROR, code),
        "end_time": (wq.WORK_QUEUE_RESULT_TASK_TIMEOUT, 9),
    }
    return known.get(kind, (wq.WORK_QUEUE_RESULT_UNKNOWN, -1))


def _remote(local: Any, remote: str | None) -> str:
    name = os.path.basename(os.fspath(local).rstrip("/")) if remote is None else str(remote)
    if name.startswith("/"):
        raise ValueError(f"{name!r} is absolute; the name of a file in a task's directory is relative")
    if ".." in name.split("/") or not name:
        raise ValueError(f"{name!r} leads out of a task's directory")
    return name


def _is_output(type: int | None) -> bool:
    if type not in (None, wq.WORK_QUEUE_INPUT, wq.WORK_QUEUE_OUTPUT):
        raise ValueError("type is WORK_QUEUE_INPUT or WORK_QUEUE_OUTPUT")
    return type == wq.WORK_QUEUE_OUTPUT


def _flags(flags: int | None, cache: bool | None, failure_only: bool | None) -> int:
    given = (wq.WORK_QUEUE_CACHE if default_cache() else wq.WORK_QUEUE_NOCACHE) if flags is None else int(flags)
    for flag, wish in ((wq.WORK_QUEUE_CACHE, cache), (wq.WORK_QUEUE_FAILURE_ONLY, failure_only)):
        if wish is not None:
            given = given | flag if wish else given & ~flag
    if given & wq.WORK_QUEUE_WATCH:
        tell("WORK_QUEUE_WATCH", "an output comes when its task has ended, and not while it runs")
    if given & (wq.WORK_QUEUE_SYMLINK | wq.WORK_QUEUE_PREEXIST | wq.WORK_QUEUE_THIRDGET):
        tell("WORK_QUEUE_SYMLINK, _PREEXIST, _THIRDGET", "files are named by what is in them and linked if they can be")
    return given


def _when(flags: int) -> str:
    if flags & wq.WORK_QUEUE_FAILURE_ONLY:
        return "failure"
    return "success" if flags & wq.WORK_QUEUE_SUCCESS_ONLY else "always"


def amounts(given: Mapping[str, float]) -> dict[str, float]:
    """Resources by name, as dictionaries of that system have them."""
    known = {}
    for name, value in given.items():
        if name not in Resources._names:
            raise ValueError(f"{name!r} is no resource: {', '.join(Resources._names)}")
        if name in ("cores", "memory", "disk", "gpus", "wall_time") and _amount(value, name) >= 0:
            # Times there are in microseconds.
            known[name] = float(value) / 1e6 if name == "wall_time" else float(value)
    return known


def _amount(value: float, name: str) -> float:
    value = float(value)
    if value != value or value > sys.maxsize:
        raise ValueError(f"{name} is a number")
    # Below zero: as if nothing had been said.
    return value if value >= 0 else -1
