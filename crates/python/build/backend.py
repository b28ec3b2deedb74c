"""Builds the wheel: the extension by maturin, and beside it the binary ``muster``.

An embedded federation needs the binary for its foremen and workers, so the wheel carries it. ``MUSTER_BIN`` names one
that is built already; else cargo builds it, in the same workspace and profile as the extension, so that both share
everything they are made of.
"""

import os
import shutil
import subprocess
from pathlib import Path

from maturin import *  # noqa: F401,F403 - the hooks that are not replaced below
from maturin import build_editable as _build_editable
from maturin import build_wheel as _build_wheel

HERE = Path(__file__).resolve().parent.parent
BINARY = HERE / "python" / "muster" / "bin" / "muster"


def _place_binary():
    built = os.environ.get("MUSTER_BIN")
    if not built:
        cargo = os.environ.get("CARGO", "cargo")
        words = [cargo, "build", "--release", "--package", "muster", "--message-format=json-render-diagnostics"]
        lines = subprocess.run(words, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout
        built = _executable(lines)
    BINARY.parent.mkdir(exist_ok=True)
    draft = BINARY.with_name(".muster.new")
    shutil.copyfile(built, draft)
    strip = shutil.which("strip")
    if strip is not None:
        # What debuggers want is two thirds of it.
        subprocess.run([strip, str(draft)], check=False)
    draft.chmod(0o755)
    draft.replace(BINARY)


def _executable(lines):
    import json

    for line in lines.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        target = message.get("target", {})
        if target.get("name") == "muster" and message.get("executable"):
            return message["executable"]
    raise SystemExit("cargo did not say where it built muster")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    _place_binary()
    return _build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    _place_binary()
    return _build_editable(wheel_directory, config_settings, metadata_directory)
