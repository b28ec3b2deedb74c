"""Finds the binary ``muster``, and is the command of that name in a Python environment."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

__all__ = ["find"]


def find() -> str:
    """Where the binary is: ``MUSTER_BIN``, else the one that came with this package, else the one in ``PATH``."""
    given = os.environ.get("MUSTER_BIN")
    if given:
        if not os.access(given, os.X_OK):
            raise FileNotFoundError(f"MUSTER_BIN names {given}, which is not there or cannot be executed")
        return given
    carried = Path(__file__).with_name("bin") / "muster"
    if carried.exists():
        return str(carried)
    found = shutil.which("muster")
    if found:
        return found
    raise FileNotFoundError(
        "the binary muster is not here: install this package as a wheel, put muster into PATH, or name it by MUSTER_BIN"
    )


def main() -> None:
    """Becomes the binary."""
    path = find()
    os.execv(path, ["muster", *sys.argv[1:]])
