"""The pages of the manual are what the docstrings say, and nothing public is without one."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import muster
import work_queue

MANUAL = Path(__file__).resolve().parents[1] / "manual.py"


def test_the_pages_are_what_the_docstrings_say() -> None:
    told = subprocess.run([sys.executable, str(MANUAL), "--check"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_everything_public_has_a_docstring() -> None:
    for module in (muster, work_queue):
        assert module.__doc__
        for name in module.__all__:
            member = getattr(module, name)
            if inspect.isclass(member):
                for other, method in vars(member).items():
                    if inspect.isfunction(method) and not other.startswith("_"):
                        assert method.__doc__, f"{module.__name__}.{name}.{other}"
            if inspect.isclass(member) or inspect.isfunction(member):
                assert member.__doc__, f"{module.__name__}.{name}"
