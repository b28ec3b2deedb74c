"""What goes along with a task and what comes back, in the forms people write."""

from __future__ import annotations

import io
import os
import tarfile
from typing import Iterable, Mapping, Optional, Sequence, Tuple, Union

PathLike = Union[str, "os.PathLike[str]"]
#: A path; a path and its name in the sandbox; or names and what they are: paths, or bytes.
Inputs = Union[PathLike, Sequence[Union[PathLike, Tuple[PathLike, str]]], Mapping[str, Union[PathLike, bytes]]]
#: Names, directories or patterns in the sandbox; or these and where they go.
Outputs = Union[str, Sequence[str], Mapping[str, Optional[PathLike]]]

#: Files of a directory that travel one by one; more cost less together, as for the command.
_FILES_ALONE_MAX = 256
#: Bytes of a file that is small.
_SMALL_BYTES = 64 << 10


def name_of(path: str) -> str:
    """A relative path keeps its text in the sandbox; one that leads out is known there by its base name."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        return os.path.basename(path.rstrip("/"))
    return path


def inputs(given: Inputs | None) -> list[tuple[str | bytes, str]]:
    """Pairs of a source and a name in the sandbox."""
    if given is None:
        return []
    if isinstance(given, (str, os.PathLike)):
        given = [given]
    if isinstance(given, (bytes, bytearray)):
        raise TypeError("inputs from memory need a name: inputs={'name': b'...'}")
    pairs: list[tuple[str | bytes, str]] = []
    if isinstance(given, Mapping):
        for name, source in given.items():
            if isinstance(source, (bytes, bytearray, memoryview)):
                pairs.append((bytes(source), str(name)))
            else:
                pairs.append((os.fspath(source), str(name)))
        return pairs
    for item in given:
        if isinstance(item, tuple):
            path, name = item
            pairs.append((os.fspath(path), str(name)))
        else:
            path = os.fspath(item)
            pairs.append((path, name_of(path)))
    return pairs


def staged(pairs: Iterable[tuple[str | bytes, str]]) -> list[tuple[str | bytes, str, str]]:
    """The same for the core: with forms, and directories as the files below them."""
    files: dict[str, tuple[str | bytes, str, str]] = {}
    for source, name in pairs:
        is_directory = isinstance(source, str) and os.path.isdir(source)
        for file in _below(str(source), name) if is_directory else [(source, name, "auto")]:
            known = files.setdefault(file[1], file)
            if not _same(known[0], file[0]):
                raise ValueError(f"two inputs are called {file[1]}")
    return list(files.values())


def _same(one: str | bytes, other: str | bytes) -> bool:
    if isinstance(one, bytes) or isinstance(other, bytes):
        return one == other
    return os.path.abspath(one) == os.path.abspath(other)


def _below(directory: str, name: str) -> list[tuple[str | bytes, str, str]]:
    """The files below a directory; the small ones of a large one travel together, in an archive that is unpacked."""
    paths: list[tuple[str, str]] = []
    empty: list[str] = []
    for here, directories, names in os.walk(directory, followlinks=True):
        directories.sort()
        inside = os.path.relpath(here, directory)
        if not directories and not names:
            empty.append(inside)
        paths.extend((os.path.join(here, base), base if inside == "." else f"{inside}/{base}") for base in sorted(names))
    small: list[tuple[str, str]] = []
    if len(paths) > _FILES_ALONE_MAX:
        small = [(path, below) for path, below in paths if os.path.getsize(path) <= _SMALL_BYTES]
    together = {below for _, below in small}
    files = [(path, f"{name}/{below}", "auto") for path, below in paths if below not in together]
    # Directories without files travel in an archive as well: there is no other way to name them.
    return [(packed(small, empty), name, "archive"), *files] if small or empty else [*files]


def packed(paths: list[tuple[str, str]], empty: list[str]) -> bytes:
    """An archive that is the same for the same files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for below in empty:
            place = tarfile.TarInfo(below)
            place.type, place.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(place)
        for path, below in paths:
            with open(path, "rb") as file:
                info = tarfile.TarInfo(below)
                mode = os.fstat(file.fileno()).st_mode
                contents = file.read()
                info.size, info.mode = len(contents), 0o755 if mode & 0o100 else 0o644
                tar.addfile(info, io.BytesIO(contents))
    return archive.getvalue()


def outputs(given: Outputs | None) -> dict[str, str | None]:
    """Names in the sandbox, and where each goes if that is said."""
    if given is None:
        return {}
    if isinstance(given, (str, os.PathLike)):
        given = [os.fspath(given)]
    if isinstance(given, Mapping):
        return {str(name): None if path is None else os.fspath(path) for name, path in given.items()}
    return {os.fspath(name): None for name in given}
