"""Writes the manual of the Python packages from their docstrings: a page for each class in ``docs/python``.

    python crates/python/manual.py           writes
    python crates/python/manual.py --check   says what is not as it would be written, and fails
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import muster
import work_queue

PAGES = Path(__file__).resolve().parents[2] / "docs" / "python"

#: Modules and the classes of each that have a page.
CLASSES = {
    muster: ["Queue", "Federation", "Task", "Result", "Ensemble", "Executor", "Stats"],
    work_queue: ["WorkQueue", "Task", "PythonTask", "Factory", "Stats"],
}

#: Functions and exceptions that share a page for each module.
OTHERS = {
    muster: ["connect", "map", "to_pandas", "track", "MusterError", "TaskFailed", "WorkerCrashed", "WrongPython", "RemoteError"],
    work_queue: [
        "compat", "set_debug_flag", "specify_debug_log", "specify_port_range", "cleanup_staging_directory",
        "Resources", "PythonTaskNoResult", "RemoteTask", "Unsupported",
    ],
}  # fmt: skip


def pages() -> dict[str, str]:
    """The pages by their names."""
    made = {}
    index = ["# The Python packages\n", "Made from the docstrings by `crates/python/manual.py`.\n"]
    for module, names in CLASSES.items():
        index.append(f"## `{module.__name__}`\n\n{prose(inspect.getdoc(module) or '')}\n")
        for name in names:
            page = f"{module.__name__}.{name}.md"
            made[page] = class_page(module.__name__, getattr(module, name))
            index.append(f"- [`{name}`]({page}): {first(getattr(module, name))}")
        page = f"{module.__name__}.md"
        made[page] = others_page(module)
        index.append(f"- [functions and exceptions]({page})\n")
    made["README.md"] = "\n".join(index)
    return made


def class_page(module: str, owner: type) -> str:
    """The page of a class."""
    told = f"# `{module}.{owner.__name__}`\n\n"
    if inspect.isfunction(owner.__init__) and owner.__name__ != "Federation":
        told += code(f"{owner.__name__}{signature(owner.__init__)}")
    told += prose(inspect.getdoc(owner) or "")
    for name, member in members(owner):
        if isinstance(member, property):
            told += f"\n## `{name}`\n\n{prose(inspect.getdoc(member) or '')}"
        else:
            call = inspect.unwrap(getattr(member, "__func__", member))
            told += f"\n## `{name}`\n\n{code(f'{name}{signature(call)}')}{prose(inspect.getdoc(call) or '')}"
    attributes = documented(owner)
    if attributes:
        told += "\n## Attributes\n\n" + "".join(f"- `{name}`: {text}\n" for name, text in attributes)
    return told.rstrip() + "\n"


def others_page(module: Any) -> str:
    """The page of what has none of its own."""
    told = f"# `{module.__name__}`: functions and exceptions\n"
    for name in OTHERS[module]:
        member = getattr(module, name)
        call = code(f"{name}{signature(member)}") if inspect.isfunction(member) else ""
        told += f"\n## `{name}`\n\n{call}{prose(inspect.getdoc(member) or '')}"
    return told.rstrip() + "\n"


def members(owner: type) -> list[tuple[str, Any]]:
    """Public methods and properties: the class's own in their order, then those of its bases among ours."""
    found: dict[str, Any] = {}
    for base in owner.__mro__:
        if base.__module__.split(".")[0] in ("muster", "work_queue"):
            for name, member in vars(base).items():
                is_told = isinstance(member, (property, classmethod, staticmethod)) or inspect.isfunction(member)
                if is_told and not name.startswith("_"):
                    found.setdefault(name, member)
    return list(found.items())


def documented(owner: type) -> list[tuple[str, str]]:
    """Attributes with a comment that begins with ``#:`` before them."""
    found, text = [], []
    for line in inspect.getsource(owner).splitlines():
        line = line.strip()
        match = re.match(r"self\.([a-z]\w*)\b.*=", line)
        if line.startswith("#:"):
            text.append(line[2:].strip())
        elif match and text:
            found.append((match[1], " ".join(text)))
            text = []
        else:
            text = []
    return found


def signature(call: Any) -> str:
    """What it takes, without ``self``."""
    told = inspect.signature(call)
    kept = [p for p in told.parameters.values() if p.name not in ("self", "cls")]
    text = str(told.replace(parameters=kept))
    return text.replace("'", "") if len(text) < 90 else broken(text.replace("'", ""))


def broken(text: str) -> str:
    """A long signature, a parameter a line."""
    inside, _, rest = text[1:].rpartition(")")
    parts, depth, last = [], 0, 0
    for at, char in enumerate(inside):
        depth += (char in "[(") - (char in "])")
        if char == "," and depth == 0:
            parts.append(inside[last:at].strip())
            last = at + 1
    parts.append(inside[last:].strip())
    return "(\n" + "".join(f"    {part},\n" for part in parts) + ")" + rest


def code(text: str) -> str:
    """A block of Python."""
    return f"```python\n{text}\n```\n\n"


def first(member: Any) -> str:
    """The first sentence of a docstring."""
    text = " ".join((inspect.getdoc(member) or "").split("\n\n")[0].split())
    return markdown(text)


def prose(text: str) -> str:
    """A docstring as Markdown: parameters as a list, examples as code."""
    told, lines = "", text.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        match = re.match(r":(param|raises) ([\w., ]+): ?(.*)", line)
        if match:
            words = [match[3]]
            while at + 1 < len(lines) and lines[at + 1].startswith("    "):
                at += 1
                words.append(lines[at].strip())
            what = "raises " if match[1] == "raises" else ""
            told += f"- {what}`{match[2]}`: {markdown(' '.join(words))}\n"
        elif line.startswith(">>>"):
            block = []
            while at < len(lines) and lines[at].strip():
                block.append(lines[at])
                at += 1
            told += code("\n".join(block))
            continue
        else:
            told += markdown(line) + "\n"
        at += 1
    return told.rstrip() + "\n"


def markdown(text: str) -> str:
    """The roles and literals of docstrings as Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def main() -> int:
    made = pages()
    PAGES.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["--check"]:
        there = {path.name: path.read_text() for path in PAGES.iterdir()}
        stale = sorted(name for name in {*made, *there} if made.get(name) != there.get(name))
        for name in stale:
            print(f"docs/python/{name} is not what the docstrings say: run python crates/python/manual.py")
        return 1 if stale else 0
    for path in PAGES.iterdir():
        path.unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
