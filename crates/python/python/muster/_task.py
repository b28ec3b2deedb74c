"""Tasks and what becomes of them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from . import _amounts, _files
from ._core import Template

if TYPE_CHECKING:
    from ._amounts import Seconds, Size
    from ._core import Outcome
    from ._files import Inputs, Outputs

#: How a worker may be chosen.
ALGORITHMS = ("fcfs", "files", "time", "hosts", "random", "worst")

#: A command that a shell would run as it is: an absolute program and words without meaning to the shell.
_PLAIN = re.compile(r"/[\w./+-]+(?: +[\w./:=,+@%-]+)*")

_templates: dict[tuple[Any, ...], Template] = {}


class Task:
    """An external program to be run once, somewhere.

    :param command: A list of words, which is executed as it is, or a text for ``/bin/sh -c``.
    :param inputs: Files and directories that go along: paths (a relative one keeps its name, an absolute one is known
        by its base name), pairs ``(path, name)``, or a mapping of names to paths or bytes.
    :param outputs: Files, directories or patterns that come back: names, which are placed under the same name below the
        working directory, or a mapping of names to paths. A path of ``None`` leaves the file with the master.
    :param env: Variables of the task's environment, beyond what each worker gives.
    :param cores: What the task occupies; also ``memory``, ``disk`` (bytes or texts such as ``"2 GB"``) and ``gpus``.
    :param category: Tasks of one category are alike and share run-time statistics; else it is the program's name.
    :param priority: Greater goes first.
    :param tag: Anything that helps you to recognise the task.
    :param retries: How often a failed attempt is followed by another. Losing a worker is never charged.
    :param time_limit: Seconds, or a text such as ``"90 min"``, after which a running attempt is ended as failed.
    :param prefer: Hosts or sites to run at, best first.
    :param algorithm: How a worker is chosen: ``fcfs``, ``files``, ``time``, ``hosts``, ``random`` or ``worst``.
    :param fast_abort: Give up an attempt that runs longer than this multiple of its category's mean; try elsewhere.
    """

    def __init__(
        self,
        command: str | Sequence[str],
        *,
        inputs: Inputs | None = None,
        outputs: Outputs | None = None,
        env: Mapping[str, str] | None = None,
        cores: float = 1,
        memory: Size | None = None,
        disk: Size | None = None,
        gpus: int = 0,
        category: str | None = None,
        priority: int = 0,
        tag: Any = None,
        retries: int = 0,
        time_limit: Seconds | None = None,
        prefer: str | Sequence[str] = (),
        algorithm: str | None = None,
        fast_abort: float | None = None,
    ) -> None:
        self.command = command
        self.words = _words(command)
        self.inputs = _files.inputs(inputs)
        self.outputs = _files.outputs(outputs)
        self.env = {str(name): str(value) for name, value in (env or {}).items()}
        self.cores = cores
        self.memory = memory
        self.disk = disk
        self.gpus = gpus
        self.category = category
        self.priority = priority
        self.tag = tag
        self.retries = retries
        self.time_limit = time_limit
        self.prefer = (prefer,) if isinstance(prefer, str) else tuple(prefer)
        self.algorithm = algorithm
        self.fast_abort = fast_abort
        #: The task's number at its queue, once it is submitted.
        self.id: int | None = None
        #: What became of it, once that is known.
        self.result: Result | None = None
        self._template()

    def __repr__(self) -> str:
        return f"<Task {self.id if self.id is not None else 'new'} {self.command!r}>"

    def _template(self) -> Template:
        category = self.category
        if category is None:
            category = os.path.basename(self.words[0] if len(self.words) == 1 else _program(self.command)) or "task"
        return template(
            env=self.env,
            cores=self.cores,
            memory=self.memory,
            disk=self.disk,
            gpus=self.gpus,
            category=category,
            priority=self.priority,
            retries=self.retries,
            time_limit=self.time_limit,
            prefer=self.prefer,
            algorithm=self.algorithm,
            fast_abort=self.fast_abort,
        )

    def _landings(self, base: str) -> list[tuple[str, str | None, bool, str]]:
        landings: list[tuple[str, str | None, bool, str]] = []
        for name, path in self.outputs.items():
            if path is None:
                path = os.path.dirname(name) if _is_pattern(name) else name
            landings.append((name, os.path.join(base, path), True, "always"))
        return landings


class Result:
    """What became of a task: it has exactly one."""

    __slots__ = ("task", "id", "_outcome", "outputs")

    def __init__(self, task: Task | None, outcome: Outcome) -> None:
        #: The task, if it was submitted by this process.
        self.task = task
        #: Its number.
        self.id: int = outcome.number
        self._outcome = outcome
        #: The outputs that came back, by their names in the sandbox, and where they are.
        self.outputs: dict[str, Path] = {
            name: Path(path) for name, path, _ in outcome.outputs if path is not None
        }

    @property
    def ok(self) -> bool:
        """Whether the task did what it should: exit code 0, and every declared output there."""
        return self._outcome.kind == "done"

    @property
    def status(self) -> str:
        """In one word: ``done``, ``exit``, ``signal``, ``time_limit``, ``cancelled``, ``output_missing``, ..."""
        return self._outcome.kind

    @property
    def exit_code(self) -> int | None:
        """The exit code, if the program ended by itself."""
        kind = self._outcome.kind
        if kind in ("done", "exit", "not_found", "not_executable"):
            return self._outcome.code
        return 0 if kind == "output_missing" else None

    @property
    def signal(self) -> int | None:
        """The signal that ended the program, if one did."""
        return self._outcome.code if self._outcome.kind == "signal" else None

    @property
    def error(self) -> str | None:
        """A sentence that says what went wrong, if something did."""
        return sentence(self._outcome)

    @property
    def stdout(self) -> str:
        """All that the program wrote to standard output."""
        return self._outcome.stdout.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """All that the program wrote to standard error."""
        return self._outcome.stderr.decode(errors="replace")

    @property
    def stdout_bytes(self) -> bytes:
        """Standard output as it was written."""
        return self._outcome.stdout

    @property
    def tag(self) -> Any:
        """The task's tag."""
        return self.task.tag if self.task is not None else None

    @property
    def task_number(self) -> int:
        """The master's number of the task; 0 if it never had it."""
        return self._outcome.task

    @property
    def site(self) -> str:
        """The site where it ran."""
        return self._outcome.site

    @property
    def worker(self) -> str:
        """The worker that ran it."""
        return self._outcome.worker

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return self._outcome.attempts

    @property
    def seconds(self) -> float:
        """How long the attempt that counts ran."""
        return self._outcome.seconds

    @property
    def cpu_seconds(self) -> float:
        """Processor time, user and system."""
        return self._outcome.cpu_seconds

    @property
    def rss_bytes(self) -> int:
        """The greatest resident size of one of its processes."""
        return self._outcome.rss_bytes

    def check(self) -> Result:
        """Returns the result, if the task did what it should.

        :raises TaskFailed: if it did not.
        """
        if not self.ok:
            raise TaskFailed(self)
        return self

    def row(self) -> dict[str, Any]:
        """The result as one row of a table."""
        return {
            "id": self.id,
            "tag": self.tag,
            "command": None if self.task is None else self.task.command,
            "ok": self.ok,
            "status": self.status,
            "exit_code": self.exit_code,
            "site": self.site,
            "worker": self.worker,
            "attempts": self.attempts,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "rss_bytes": self.rss_bytes,
            "error": self.error,
        }

    def __repr__(self) -> str:
        return f"<Result {self.id} {self.status}>"


class TaskFailed(Exception):
    """A task did not do what it should. ``result`` says all that is known."""

    def __init__(self, result: Result) -> None:
        self.result = result
        end = result.stderr.strip().splitlines()[-1:] if result.stderr else []
        super().__init__(": ".join([f"task {result.id} {result.error}", *end]))


def template(
    *,
    env: Mapping[str, str],
    cores: float | None,
    memory: Size | None,
    disk: Size | None,
    gpus: int,
    category: str,
    priority: int,
    retries: int,
    time_limit: Seconds | None,
    prefer: Sequence[str],
    algorithm: str | None,
    fast_abort: float | None,
    server: tuple[str, ...] | None = None,
) -> Template:
    """The template of these fields: equal fields, the same object."""
    key: tuple[Any, ...] = (server, tuple(env.items()), cores, memory, disk, gpus, category, priority, retries)
    key += (time_limit, tuple(prefer), algorithm, fast_abort)
    known = _templates.get(key)
    if known is not None:
        return known
    if algorithm is None:
        algorithm = "hosts" if prefer else "fcfs"
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm is one of {', '.join(ALGORITHMS)}, not {algorithm!r}")
    if fast_abort is not None and not 1 <= fast_abort <= 1000:
        raise ValueError("fast_abort is a multiple from 1 to 1000")
    made = Template(
        {
            "server": None if server is None else list(server),
            "environment": list(env.items()),
            "cores_milli": _amounts.cores(cores if cores is not None else 0),
            "gpus": _amounts.whole(gpus, "gpus"),
            "memory_bytes": _amounts.size(memory if memory is not None else 0, "memory"),
            "disk_bytes": _amounts.size(disk if disk is not None else 0, "disk"),
            "priority": _amounts.whole(priority, "priority", -(2**31)),
            "retries": _amounts.whole(retries, "retries", 0, 65535),
            "wall_us": None if time_limit is None else round(_amounts.seconds(time_limit, "time_limit") * 1e6),
            "fast_abort_percent": None if fast_abort is None else round(fast_abort * 100),
            "algorithm": algorithm,
            "preferred": [str(name) for name in prefer],
            "category": str(category),
        }
    )
    if len(_templates) > 10_000:
        _templates.clear()
    _templates[key] = made
    return made


def sentence(outcome: Outcome) -> str | None:
    """What went wrong, in words that follow "the task"."""
    code, detail = outcome.code, outcome.detail
    return {
        "done": None,
        "exit": f"ended with exit code {code}",
        "signal": f"was ended by signal {code}",
        "time_limit": "ran longer than its limit",
        "not_found": "names a program that is not there",
        "not_executable": "names a program that cannot be executed",
        "cannot_start": f"could not be started: {os.strerror(code)}",
        "input_missing": f"has an input that could not be had: {detail}",
        "output_missing": f"did not leave {detail}",
        "too_much_output": "wrote more than it may",
        "lost_too_often": "was lost too often",
        "exhausted": f"occupied {detail}",
        "bad_archive": f"has an input that cannot be unpacked: {detail}",
        "cancelled": "was cancelled",
        "refused": f"was not taken: {detail}",
        "not_brought": f"has an output that could not be written here: {detail}",
    }.get(outcome.kind, f"ended as {outcome.kind}")


def _words(command: str | Sequence[str]) -> list[str]:
    if isinstance(command, str):
        if not command.strip():
            raise ValueError("a task needs a command")
        if _PLAIN.fullmatch(command):
            return command.split()
        return ["/bin/sh", "-c", command]
    if isinstance(command, (bytes, bytearray)):
        raise TypeError("command is a text or a list of texts, not bytes")
    words = [os.fspath(word) if isinstance(word, os.PathLike) else word for word in command]
    if not words:
        raise ValueError("a task needs a command")
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"a word of a command is a text, not {type(word).__name__}")
    return words


def _program(command: str | Sequence[str]) -> str:
    if isinstance(command, str):
        words = command.split()
        return words[0] if words else ""
    return os.fspath(command[0])


def _is_pattern(name: str) -> bool:
    return any(char in name for char in "*?[")
