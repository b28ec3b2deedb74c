"""One command for every value of its parameters."""

from __future__ import annotations

import inspect
import itertools
import os
import re
import shlex
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Sequence

from . import _files
from ._progress import track
from ._task import Result, Task, TaskFailed

if TYPE_CHECKING:
    from ._queue import Queue

#: What ``map`` hands to every task; everything else it is given is a parameter.
_FIELDS = frozenset(inspect.signature(Task.__init__).parameters) - {"self", "command"}

#: ``{name}``, with ``.`` the extension is left out, with ``/`` and ``//`` base name and directory; ``{#}`` the number.
_HOLE = re.compile(r"\{(#|[A-Za-z_][A-Za-z_0-9]*)(\.|//?|/\.)?\}")

#: Where outputs go whose names are the same for all tasks.
_OUTPUT_DIR = "muster-run/{#}"


class Ensemble:
    """The tasks of one ``map``: iterate over it for results as they come, or take :meth:`results` in order.

    >>> with muster.Federation.local() as federation:
    ...     for result in federation.map("sha256sum {file} > sum", file=glob("*.dat"), outputs=["sum"]):
    ...         print(result.tag["file"], result.outputs["sum"])

    :param queue: Where the tasks run.
    :param command: A text for the shell or a list of words. In both, ``{name}`` stands for the value of a parameter,
        ``{name.}`` for it without its extension, ``{name/}`` for its base name, ``{name//}`` for its directory,
        ``{name/.}`` for its base name without extension and ``{#}`` for the number of the task, from 1 on. Other braces
        stay as they are. In a text, values are quoted for the shell.
    :param fields: Parameters, each a list of values or a single one, and the fields of :class:`muster.Task`, in which
        ``inputs``, ``outputs``, ``env``, ``prefer``, ``category`` and ``tag`` may hold placeholders as well. There is a
        task for each combination of values; with ``link=True`` for the first values of all, the second ones and so on.
        ``cases`` is a list of mappings (or a data frame) to be used instead. A value that is the path of a file goes
        along as an input. Outputs go below ``output_dir``: by default where their names say if they hold a
        placeholder, else below ``muster-run/{#}``.
    """

    def __init__(self, queue: Queue, command: str | Sequence[str], fields: Mapping[str, Any]) -> None:
        given = dict(fields)
        link = bool(given.pop("link", False))
        cases = given.pop("cases", None)
        output_dir = given.pop("output_dir", None)
        common = {name: given.pop(name) for name in list(given) if name in _FIELDS}
        rows = _rows(given, cases, link)
        _check_names(command, rows)
        self._queue = queue
        #: The tasks, in the order of the parameters.
        self.tasks: list[Task] = [
            _task(command, {**row, "#": number}, common, output_dir, len(rows))
            for number, row in enumerate(rows, 1)
        ]
        for task in self.tasks:
            queue.submit(task)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Result]:
        return self._queue.as_completed(self.tasks)

    def progress(self, label: str = "tasks") -> Iterator[Result]:
        """Iterates as usual, and shows in the terminal or notebook how far it is."""
        return track(iter(self), len(self.tasks), label)

    def results(self, timeout: float | None = None) -> list[Result]:
        """All results, in the order of the tasks.

        :raises TimeoutError: if they are not all there after ``timeout`` seconds.
        """
        by_number = {result.id: result for result in self._queue.as_completed(self.tasks, timeout)}
        return [by_number.get(task.id or 0) or _known(task) for task in self.tasks]

    def check(self) -> list[Result]:
        """All results, in the order of the tasks.

        :raises TaskFailed: for the first task that did not do what it should.
        """
        return [result.check() for result in self.results()]

    def cancel(self) -> int:
        """Cancels those that have not ended; returns how many."""
        return self._queue.cancel(*self.tasks)

    def to_pandas(self) -> Any:
        """All results as a data frame, a row for each task, with a column for each parameter."""
        return to_pandas(self.results())

    def __repr__(self) -> str:
        ended = sum(task.result is not None for task in self.tasks)
        return f"<Ensemble of {len(self.tasks)} tasks, {ended} ended>"


def map(command: str | Sequence[str], *, sites: int = 1, workers: int | None = None, **fields: Any) -> list[Result]:
    """Runs ``command`` for every value of its parameters on a federation of its own, and returns the results in order.

    :param sites: As for :meth:`muster.Federation.local`, like ``workers``.
    :param fields: As for :class:`muster.Ensemble`.
    """
    from ._federation import Federation

    with Federation.local(sites=sites, workers=workers) as federation:
        ensemble: Ensemble = federation.map(command, **fields)
        return ensemble.results()


def to_pandas(results: Iterable[Result]) -> Any:
    """Results as a data frame of pandas, a row for each.

    :raises ImportError: if pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas() needs pandas: pip install pandas") from error
    rows = []
    for result in results:
        row = result.row()
        if isinstance(row["tag"], Mapping):
            row = {**row.pop("tag"), **row}
        rows.append(row)
    return pandas.DataFrame(rows)


def _known(task: Task) -> Result:
    assert task.result is not None, "as_completed ends when all have come"
    return task.result


def _rows(parameters: Mapping[str, Any], cases: Any, link: bool) -> list[dict[str, Any]]:
    if cases is not None:
        if parameters:
            names = ", ".join(sorted(parameters))
            raise TypeError(f"parameters are given by cases, or by name, not both: {names}")
        if hasattr(cases, "to_dict"):
            cases = cases.to_dict("records")
        return [dict(case) for case in cases]
    values = {name: _values(value) for name, value in parameters.items()}
    if link:
        lengths = {name: len(value) for name, value in values.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise ValueError(f"with link=True all parameters have as many values: {told}")
        combinations: Iterable[tuple[Any, ...]] = zip(*values.values()) if values else [()]
    else:
        combinations = itertools.product(*values.values())
    return [dict(zip(values, combination)) for combination in combinations]


def _values(value: Any) -> list[Any]:
    if isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _check_names(command: str | Sequence[str], rows: list[dict[str, Any]]) -> None:
    """A parameter that the command does not name is a mistyped field, more often than not."""
    if not rows:
        return
    words = [command] if isinstance(command, str) else list(command)
    named = {match[1] for word in words if isinstance(word, str) for match in _HOLE.finditer(word)}
    unknown = sorted(set(rows[0]) - named)
    if named and unknown and not set(rows[0]) & named:
        raise TypeError(f"{unknown[0]!r} is neither a field of a task nor a parameter that the command names")


def _task(
    command: str | Sequence[str], row: dict[str, Any], common: Mapping[str, Any], output_dir: str | None, count: int
) -> Task:
    inside = {name: _inside(value) for name, value in row.items()}
    fields = {name: _filled(value, row) for name, value in common.items()}
    inputs = _files.inputs(fields.pop("inputs", None))
    known = {name for _, name in inputs}
    for name, value in row.items():
        if _is_file(value) and inside[name] not in known:
            known.add(inside[name])
            inputs.append((os.fspath(value), inside[name]))
    outputs = _files.outputs(fields.pop("outputs", None))
    holes = _holes(common.get("outputs"))
    if output_dir is None:
        output_dir = _OUTPUT_DIR if count > 1 and not holes else "."
    elif count > 1 and outputs and not holes and not _HOLE.search(output_dir):
        raise ValueError(
            "every task would bring back the same files and only the last would be left; "
            "put a placeholder into outputs or output_dir, such as {#}"
        )
    base = _fill(output_dir, row)
    if "tag" not in fields:
        fields["tag"] = {name: value for name, value in row.items() if name != "#"}
    quote = shlex.quote if isinstance(command, str) else str
    words = _each(command, lambda word: _fill(word, inside, quote))
    task = Task(words, outputs={name: path or _landing(base, name) for name, path in outputs.items()}, **fields)
    task.inputs = inputs
    return task


def _landing(base: str, name: str) -> str:
    is_pattern = any(char in name for char in "*?[")
    return os.path.join(base, os.path.dirname(name) if is_pattern else name)


def _inside(value: Any) -> str:
    """What a value is called in the sandbox."""
    return _files.name_of(os.fspath(value)) if _is_file(value) else str(value)


def _is_file(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike)) and os.path.exists(value)


def _each(command: str | Sequence[str], fill: Callable[[str], str]) -> Any:
    if isinstance(command, str):
        return fill(command)
    return [fill(word) if isinstance(word, str) else word for word in command]


def _filled(value: Any, row: Mapping[str, Any]) -> Any:
    """The same with placeholders filled in, through lists, tuples and mappings."""
    if isinstance(value, str):
        return _fill(value, row)
    if isinstance(value, Mapping):
        return {_filled(key, row): _filled(item, row) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(item, row) for item in value)
    return value


def _fill(text: str, row: Mapping[str, Any], quote: Callable[[str], str] = str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in row:
            return match[0]
        text = os.fspath(row[match[1]]) if isinstance(row[match[1]], os.PathLike) else str(row[match[1]])
        if match[2] in ("/", "/."):
            text = os.path.basename(text)
        if match[2] in (".", "/."):
            text = os.path.splitext(text)[0]
        if match[2] == "//":
            text = os.path.dirname(text) or "."
        return quote(text)

    return _HOLE.sub(value, text)


def _holes(outputs: Any) -> bool:
    if outputs is None:
        return False
    if isinstance(outputs, Mapping):
        names: list[Any] = [value if value is not None else name for name, value in outputs.items()]
    else:
        names = [outputs] if isinstance(outputs, (str, os.PathLike)) else list(outputs)
    return all(_HOLE.search(os.fspath(name)) for name in names)


__all__ = ["Ensemble", "TaskFailed", "map", "to_pandas"]
