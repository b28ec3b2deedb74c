"""How far an iteration is, in a terminal or a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any, Iterable, Iterator, TypeVar

from ._task import Result

Item = TypeVar("Item")

#: Seconds between two looks of the display.
_PERIOD = 0.1
_BAR = 30


def track(items: Iterable[Item], total: int | None = None, label: str = "tasks") -> Iterator[Item]:
    """Yields ``items``, and shows how many have come: a line in a terminal, a bar in a notebook, else nothing.

    >>> for result in muster.track(queue.as_completed(), len(queue)):
    ...     print(result)
    """
    show = _display()
    begun, shown, count, failed = time.monotonic(), 0.0, 0, 0
    try:
        for item in items:
            count += 1
            failed += isinstance(item, Result) and not item.ok
            now = time.monotonic()
            if show is not None and now - shown >= _PERIOD:
                shown = now
                show.update(_line(count, failed, total, label, now - begun))
            yield item
    finally:
        if show is not None:
            show.end(_line(count, failed, total, label, time.monotonic() - begun))


def _line(count: int, failed: int, total: int | None, label: str, seconds: float) -> str:
    rate = count / seconds if seconds > 0 else 0.0
    told = f"{count} {label}" if total is None else f"{count} of {total} {label}"
    parts = [told, f"{rate:.1f}/s" if rate < 100 else f"{rate:.0f}/s"]
    if failed:
        parts.append(f"{failed} failed")
    if total is not None and 0 < count < total:
        parts.append(f"{_span((total - count) / rate)} left")
    else:
        parts.append(_span(seconds))
    bar = ""
    if total:
        filled = min(_BAR, count * _BAR // total)
        bar = "█" * filled + "░" * (_BAR - filled) + " "
    return bar + ", ".join(parts)


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _display() -> Any:
    notebook = sys.modules.get("IPython")
    shell = notebook.get_ipython() if notebook is not None else None
    if shell is not None and "ZMQ" in type(shell).__name__:
        return _Notebook()
    if sys.stderr is not None and sys.stderr.isatty():
        return _Terminal()
    return None


class _Terminal:
    def update(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    def end(self, text: str) -> None:
        self.update(text)
        sys.stderr.write("\n")


class _Notebook:
    def __init__(self) -> None:
        from IPython.display import display

        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def update(self, text: str) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": text}, raw=True)

    def end(self, text: str) -> None:
        self.update(text)
