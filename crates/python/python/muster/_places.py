"""Where things of a user are, by the rules of XDG, as the command has them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence


def keys() -> Path:
    """The directory of the user's personal authority."""
    return _named("MUSTER_KEYS") or _base("XDG_CONFIG_HOME", ".config") / "muster"


def state() -> Path:
    """The directory for state that outlives a command."""
    return _named("MUSTER_STATE") or _base("XDG_STATE_HOME", ".local/state") / "muster"


def queues() -> Path:
    """Where queues of this user have their directories; it is made."""
    return _made(state() / "queues")


def master(project: str) -> Path:
    """The state directory of a project's master; what it is in is made."""
    return _made(state() / "masters") / project


def project(name: str) -> Path:
    """Where the address of a project's master is written; its directory is made."""
    return _made(state() / "projects") / name


def catalog(given: str | Sequence[str] | None) -> list[str]:
    """Addresses of the catalog's replicas: those given, or those of ``MUSTER_CATALOG``."""
    if given is None:
        given = os.environ.get("MUSTER_CATALOG", "")
    parts = given.split(",") if isinstance(given, str) else [str(part) for part in given]
    return [part.strip() for part in parts if part.strip()]


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def _named(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _base(variable: str, below_home: str) -> Path:
    base = _named(variable)
    if base is not None and base.is_absolute():
        return base
    return Path.home() / below_home
