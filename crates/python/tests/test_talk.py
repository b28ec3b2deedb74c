"""The talk's scripts, each with workers of its own, in a network of its own: their port is fixed."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TALK = ROOT / "examples" / "talk"
UBIQUITIN = ROOT / "examples" / "gomodel" / "data" / "ubiquitin-ca.pdb"

#: Starts two workers as a site's user would and then becomes the script, given as a file and its arguments.
BESIDE = """
import subprocess, sys
words = [sys.executable, "-c", "from work_queue._commands import worker; worker()", "127.0.0.1", "9123"]
workers = [subprocess.Popen([*words, "--cores", "1"]) for _ in range(2)]
try:
    sys.argv = sys.argv[1:]
    exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"), {"__name__": "__main__"})
finally:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.wait(20)
"""


def run(script: Path, *words: str, after: str = "") -> str:
    """What a script prints, whose last words may be another line of Python."""
    text = BESIDE.replace('"__main__"})', '"__main__"})') if not after else BESIDE.replace(
        'open(sys.argv[0]).read()', f"open(sys.argv[0]).read() + {after!r}"
    )
    command = [sys.executable, str(HERE / "alone.py"), sys.executable, "-c", text, str(script), *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_slides_about_the_module(home: Path) -> None:
    told = run(TALK / "first_queue.py", after="\nback = wq.wait()\nprint(back is task, back.result)\n")
    assert told == "True 0\n"
    assert Path("output.txt").read_text().strip()


def test_distributed_convert(home: Path, convert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{convert.parent}:{os.environ['PATH']}")
    Path("images").mkdir()
    for number in range(6):
        picture(Path(f"images/{number}.png"), 40 + number, 30)
    images = sorted(str(path) for path in Path("images").iterdir())
    told = run(TALK / "distributed_convert.py", "ppm", *images).splitlines()
    assert sorted(told) == [f"convert {name} {name[:-4]}.ppm 0" for name in images]
    for number in range(6):
        contents = Path(f"images/{number}.ppm").read_bytes()
        assert contents.startswith(b"P6") and f"{40 + number} 30".encode() in contents[:20]


def test_replica_exchange(home: Path, gomodel: Path) -> None:
    words = ["--replicas", "4", "--rounds", "4", "--steps", "300"]
    told = run(TALK / "replica_exchange.py", str(gomodel), str(UBIQUITIN), *words).splitlines()
    assert told[0] == "listening on port 9123" and len(told) == 6
    assert all(line.startswith(f"round {number:2}: ") for number, line in enumerate(told[1:5], 1))
    assert told[5].startswith("exchanges: ") and told[5].endswith("of 6 accepted")


def test_a_campaign_like_folding_at_work(home: Path, gomodel: Path) -> None:
    words = ["--clones", "5", "--generations", "3", "--steps", "300"]
    told = run(TALK / "folding_at_work.py", str(gomodel), str(UBIQUITIN), *words)
    rows = dict(line.rsplit(None, 1) for line in told.splitlines())
    assert int(rows["Results received"]) == 15 and int(rows["Tasks Assigned"]) >= 15
    assert int(rows["Number of workers"]) in (1, 2) and 0 < float(rows["Contacts at the end, average"]) <= 300


@pytest.fixture(scope="session")
def gomodel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("gomodel") / "gomodel"
    source = ROOT / "examples/gomodel/src/main.rs"
    subprocess.run(["rustc", "-O", "--edition", "2024", "-o", str(program), str(source)], check=True)
    return program


@pytest.fixture(scope="session")
def convert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ImageMagick's convert; where it is not and cannot be installed, a program that does the same to a PNG."""
    if not magick() and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        words = ["apt-get", "install", "--yes", "--no-install-recommends", "imagemagick"]
        try:
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(words, capture_output=True, timeout=120, env=environment, check=False)
        except subprocess.TimeoutExpired:
            # A system without packages at hand.
            pass
    found = magick()
    if found:
        return Path(found)
    program = tmp_path_factory.mktemp("convert") / "convert"
    program.write_text(f"#!{sys.executable}\n{CONVERT}")
    program.chmod(0o755)
    return program


def magick() -> str | None:
    found = shutil.which("convert")
    if found is None:
        return None
    told = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    return found if "ImageMagick" in told.stdout else None


#: From PNG of 8 bits a colour without filters to PPM, as :func:`picture` writes them.
CONVERT = """
import struct, sys, zlib
data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\\x89PNG\\r\\n\\x1a\\n"
at, packed = 8, b""
while at < len(data):
    length, kind = struct.unpack(">I4s", data[at:at + 8])
    body = data[at + 8:at + 8 + length]
    if kind == b"IHDR":
        width, height = struct.unpack(">II", body[:8])
    if kind == b"IDAT":
        packed += body
    at += length + 12
rows = zlib.decompress(packed)
stride = 1 + 3 * width
pixels = b"".join(rows[y * stride + 1:(y + 1) * stride] for y in range(height))
open(sys.argv[2], "wb").write(b"P6\\n%d %d\\n255\\n" % (width, height) + pixels)
"""


def picture(path: Path, width: int, height: int) -> None:
    """Writes a PNG with a gradient."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(
        b"\0" + b"".join(bytes((x * 255 // width, y * 255 // height, 128)) for x in range(width)) for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
