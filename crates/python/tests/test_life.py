"""Ends of all kinds: Ctrl-C, killed processes, projects that are taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import muster
from conftest import marked, python, until
from muster import Federation, Queue


def test_ctrl_c_ends_a_wait_at_once(home: Path) -> None:
    script = """
import muster
with muster.Federation.local(sites=1, workers=1) as federation:
    federation.submit("sleep 1000")
    federation.flush()
    try:
        print("waiting", flush=True)
        federation.wait()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
print("closed", flush=True)
"""
    process = python(script)
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert time.monotonic() - begun < 2
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("closed\n", "", 0)
    assert time.monotonic() - begun < 15


def test_nothing_of_a_killed_program_is_left(home: Path) -> None:
    mark = f"orphan-{os.getpid()}-{time.monotonic_ns()}"
    script = """
import muster
federation = muster.Federation.local(sites=2, workers=2)
executor = federation.executor()
for _ in range(2):
    federation.submit("setsid -f sleep 1000; sleep 1000")
future = executor.submit(abs, -1)
federation.flush()
print(federation.address, flush=True)
federation.wait()
"""
    process = python(script, env={**os.environ, "MARK_OF_TEST": mark})
    assert process.stdout is not None and ":" in process.stdout.readline()
    # The mark is in the environment of foremen and workers; tasks do not get it.
    until("there are foremen and workers", lambda: len(marked(mark)) >= 5)
    state = str(home)
    until("the tasks run", lambda: sum(state in _cwd(pid) for pid in _all()) >= 2)
    process.kill()
    process.wait()
    until("they have gone", lambda: not marked(mark) and not any(state in _cwd(pid) for pid in _all()))


def test_a_program_that_ends_without_closing_leaves_nothing(home: Path) -> None:
    mark = f"unclosed-{os.getpid()}-{time.monotonic_ns()}"
    script = """
import muster
federation = muster.Federation.local(workers=1)
federation.submit("sleep 1000")
"""
    process = python(script, env={**os.environ, "MARK_OF_TEST": mark})
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("", "", 0)
    assert not marked(mark)
    assert not list((home / ".local/state/muster/queues").iterdir()), "its directory is gone"


def test_a_project_is_taken_up_again_after_a_kill(home: Path) -> None:
    script = """
import muster, os
queue = muster.Queue("again")
for number in range(10):
    queue.submit(f"echo {number}; echo {number} > out", tag=number, outputs={"out": f"out-{number}"})
queue.flush()
os.kill(os.getpid(), 9)
"""
    process = python(script)
    assert process.wait(20) == -9
    with Federation.local(sites=1, workers=2, project="again") as federation:
        assert len(federation) == 10
        first = federation.wait(20)
        assert first is not None and first.ok and first.stdout == f"{first.tag}\n"
        rest = list(federation.as_completed())
        assert sorted(result.tag for result in [first, *rest]) == list(range(10))
        assert all(Path(f"out-{number}").read_text() == f"{number}\n" for number in range(10))
        assert federation.empty()
        fresh = federation.submit("echo fresh")
        assert fresh.id == 11, "numbers go on"
        result = federation.wait(20)
        assert result is not None and result.stdout == "fresh\n"
    with Queue("again") as queue:
        assert queue.empty(), "what was taken does not come again"


def test_what_was_not_taken_comes_again(home: Path) -> None:
    with Federation.local(sites=1, workers=1, project="kept") as federation:
        for number in range(4):
            federation.submit(f"echo {number}", tag=number)
        result = federation.wait(20)
        assert result is not None
        taken = result.tag
    with Federation.local(sites=1, workers=1, project="kept") as federation:
        assert sorted(result.tag for result in federation.as_completed()) == sorted({0, 1, 2, 3} - {taken})


def test_a_project_has_one_owner_at_a_time(home: Path) -> None:
    with Queue("mine"):
        with pytest.raises(OSError, match="taken|use"):
            Queue("mine")
    with Queue("mine") as queue:
        assert queue.empty()


def test_a_standing_master_is_used_by_its_name_and_by_its_address(home: Path, tmp_path: Path) -> None:
    binary = os.environ.get("MUSTER_BIN") or muster._binary.find()
    port = tmp_path / "port"
    words = [binary, "master", "--project", "standing", "--listen", "127.0.0.1:0", "--port-file", str(port)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as master:
        try:
            until("the master is ready", lambda: port.exists() and port.read_text().strip())
            address = f"127.0.0.1:{port.read_text().strip().rsplit(':', 1)[-1]}"
            worker = subprocess.Popen(
                [binary, "worker", address, "--state-dir", str(tmp_path / "w"), "--cores", "1"],
                stderr=subprocess.DEVNULL,
            )
            with muster.connect("standing") as one, muster.connect(address) as other:
                one.submit("echo one")
                other.submit("echo other")
                first, second = one.wait(20), other.wait(20)
                assert first is not None and second is not None
                assert (first.stdout, second.stdout) == ("one\n", "other\n")
                assert one.wait(0) is None and other.wait(0) is None
                with one.executor(python=sys.executable) as executor:
                    assert list(executor.map(abs, [-1, -2])) == [1, 2]
            worker.terminate()
            worker.wait(20)
        finally:
            master.terminate()
    with pytest.raises(ConnectionError):
        muster.connect(address, patience=0.5)


def test_a_project_is_found_by_the_catalog(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = os.environ.get("MUSTER_BIN") or muster._binary.find()
    port = tmp_path / "port"
    words = [binary, "catalog", "start", "--listen", "127.0.0.1:0", "--port-file", str(port)]
    words += ["--state-dir", str(tmp_path / "catalog")]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as catalog:
        try:
            until("the catalog is ready", lambda: port.exists() and port.read_text().strip())
            monkeypatch.setenv("MUSTER_CATALOG", f"127.0.0.1:{port.read_text().strip().rsplit(':', 1)[-1]}")
            with Queue("found", port=0) as queue:
                monkeypatch.setenv("MUSTER_STATE", str(tmp_path / "elsewhere"))
                queue.submit("echo by name")
                worker = subprocess.Popen(
                    [binary, "worker", "--project", "found", "--state-dir", str(tmp_path / "w"), "--cores", "1"],
                    stderr=subprocess.DEVNULL,
                )
                result = queue.wait(30)
                assert result is not None and result.stdout == "by name\n"
                with muster.connect("found") as other:
                    other.submit("echo connected")
                    result = other.wait(30)
                    assert result is not None and result.stdout == "connected\n"
                worker.terminate()
                worker.wait(20)
        finally:
            catalog.terminate()


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _cwd(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
