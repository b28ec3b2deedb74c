"""How what cannot be offered is refused, and how what has no effect is told."""

from __future__ import annotations

import warnings


class Unsupported(NotImplementedError):
    """Something of that system that Muster does not offer; the sentence says why, and what to do."""


def refuse(what: str, why: str) -> Unsupported:
    """The error for something that is not offered."""
    return Unsupported(f"{what} is not offered by Muster: {why}")


_told: set[str] = set()


def tell(what: str, why: str) -> None:
    """Warns, once in a program, of something that is accepted and does something else than it did."""
    if what not in _told:
        _told.add(what)
        warnings.warn(f"{what}: {why}", UserWarning, stacklevel=3)
