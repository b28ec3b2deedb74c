"""Python functions at workers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import os
import stat
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

import muster
from conftest import marked, python, until
from muster import Executor


@pytest.fixture
def executor(home: Path) -> Iterator[Executor]:
    with Executor(workers=2) as made:
        yield made


class Odd(Exception):
    """An exception that takes two arguments and forgets them."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd")


def test_values_come_back_in_order(executor: Executor) -> None:
    assert isinstance(executor, concurrent.futures.Executor)
    assert executor.submit(pow, 2, exp=10).result(30) == 1024
    assert list(executor.map(math.sqrt, range(100))) == [math.sqrt(x) for x in range(100)]
    assert list(executor.map(lambda x, y: x + y, [1, 2, 3], [10, 20, 30], chunksize=2)) == [11, 22, 33]
    factor = 3
    assert list(executor.map(lambda x: x * factor, [1, 2])) == [3, 6]
    factor = 4
    assert executor.submit(lambda x: x * factor, 1).result() == 4, "what a closure holds is that of now"


def test_exceptions_come_back_as_themselves(executor: Executor) -> None:
    def fail() -> None:
        raise KeyError("here", 5)

    future = executor.submit(fail)
    error = future.exception(30)
    assert isinstance(error, KeyError) and error.args == ("here", 5)
    assert isinstance(error.__cause__, muster.RemoteError) and "in fail" in str(error.__cause__)

    def odd() -> None:
        raise Odd(1, 2)

    with pytest.raises(RuntimeError, match="Odd: odd"):
        executor.submit(odd).result(30)
    with pytest.raises(RuntimeError, match="sys.exit"):
        executor.submit(sys.exit, 3).result(30)
    with pytest.raises(ZeroDivisionError):
        list(executor.map(lambda x: 1 // x, [1, 0, 2]))
    assert executor.submit(abs, -1).result(30) == 1


def test_long_arguments_functions_and_values_travel_as_files(executor: Executor) -> None:
    block = os.urandom(1 << 20)
    assert executor.submit(lambda data: data[::-1], block).result(30) == block[::-1]
    table = {number: str(number) * 50 for number in range(2000)}
    assert executor.submit(lambda number: table[number], 1999).result(30) == table[1999]


def test_processes_stay_and_prints_do_not_disturb(executor: Executor) -> None:
    def who() -> int:
        print("to nobody")
        os.write(1, b"nor this")
        return os.getpid()

    pids = {executor.submit(who).result(30) for _ in range(20)}
    assert len(pids) <= 2, "each worker has one process"
    assert executor.submit(os.read, 0, 10).result(30) == b"", "there is nobody to ask"


def test_what_cannot_be_made_again_harms_no_other_call(executor: Executor) -> None:
    class Strange(Exception):
        def __reduce__(self) -> tuple[object, ...]:
            return str, ("gone",)

    def fail() -> None:
        raise Strange

    strange, plain = executor.submit(fail), executor.submit(abs, -1)
    with pytest.raises(RuntimeError, match="gone"):
        strange.result(30)
    assert plain.result(30) == 1

    def fork() -> str:
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        return "parent"

    assert executor.submit(fork).result(30) == "parent"
    with pytest.raises(muster.WorkerCrashed, match="signal 9"):
        executor.submit(lambda: os.kill(os.getpid(), 9)).result(30)


def test_modules_of_the_current_directory_are_found(home: Path) -> None:
    Path("mine.py").write_text("def answer():\n    return 42\n")
    script = "import muster, mine\nwith muster.Executor(workers=1) as executor: print(executor.submit(mine.answer).result())"
    process = python(script)
    out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == ("42\n", 0), err


def test_a_program_that_ends_waits_for_its_calls(home: Path) -> None:
    script = """
import muster, time
executor = muster.Executor(workers=1)
for number in range(3):
    executor.submit(lambda number: (time.sleep(0.1), open(f"{here}/{number}", "w").close()), number)
"""
    process = python(script.replace("{here}", str(Path.cwd())))
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("", "", 0)
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["0", "1", "2"]


def test_callbacks_may_call_and_cancelled_calls_are_done(executor: Executor) -> None:
    second: list[concurrent.futures.Future[int]] = []
    first = executor.submit(abs, -1)
    first.add_done_callback(lambda future: second.append(executor.submit(abs, -future.result() - 1)))
    until("the callback has run", lambda: second)
    assert second[0].result(30) == 2
    sleeping = [executor.submit(time.sleep, 1000) for _ in range(5)]
    sleeping[0].add_done_callback(lambda _: second.append(executor.submit(abs, -3)))
    assert all(future.cancel() for future in sleeping)
    done, rest = concurrent.futures.wait(sleeping, 10)
    assert len(done) == 5 and not rest and second[1].result(30) == 3


def test_a_process_that_dies_fails_its_call_alone(executor: Executor) -> None:
    with pytest.raises(muster.WorkerCrashed, match="exit code 70"):
        executor.submit(os._exit, 0).result(30)
    with pytest.raises(muster.WorkerCrashed, match="signal 11"):
        executor.submit(lambda: os.kill(os.getpid(), 11)).result(30)
    assert list(executor.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]


def test_calls_are_cancelled_even_while_they_run(home: Path) -> None:
    mark = f"sleeper-{os.getpid()}"
    with Executor(workers=1, env={"MARK": mark}) as executor:
        executor.submit(abs, 1).result(30)
        running = executor.submit(time.sleep, 1000)
        waiting = executor.submit(time.sleep, 1000)
        until("its process is there", lambda: marked(mark))
        assert waiting.cancel() and running.cancel() and running.cancelled()
        assert executor.submit(abs, -2).result(30) == 2, "there is room again"
        with pytest.raises(concurrent.futures.CancelledError):
            running.result()
        assert not executor.submit(abs, 1).cancel() or True


def test_what_cannot_be_sent_says_so(executor: Executor) -> None:
    with pytest.raises(TypeError, match="not callable"):
        executor.submit(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be sent"):
        executor.submit(abs, (number for number in range(3)))
    with pytest.raises(ValueError, match="chunksize"):
        executor.map(abs, [1], chunksize=0)


def test_shutting_down(home: Path) -> None:
    executor = Executor(workers=1)
    futures = [executor.submit(time.sleep, 0.05) for _ in range(5)]
    executor.shutdown()
    assert all(future.done() and future.result() is None for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    executor = Executor(workers=1)
    futures = [executor.submit(time.sleep, 100) for _ in range(5)]
    executor.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)


def test_an_executor_without_workers_can_be_left(home: Path) -> None:
    with muster.Queue() as queue:
        executor = queue.executor()
        future = executor.submit(abs, 1)
        executor.shutdown(cancel_futures=True)
        assert future.cancelled()
        queue.executor().shutdown()
        until("nothing is left of them", queue.empty)
        assert queue.stats().running == queue.stats().waiting == 0


def test_an_executor_can_be_made_by_a_call(executor: Executor) -> None:
    def nested() -> list[int]:
        with muster.Executor(workers=1) as inner:
            return list(inner.map(lambda x: -x, [1, 2]))

    assert executor.submit(nested).result(60) == [-1, -2]


def test_what_nobody_waits_for_any_more_is_ended(home: Path) -> None:
    with Executor(workers=1) as executor:
        with pytest.raises(concurrent.futures.TimeoutError):
            list(executor.map(time.sleep, [1000, 1000], timeout=0.3))
        assert executor.submit(abs, -1).result(30) == 1


def test_coroutines_call_functions(executor: Executor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(loop.run_in_executor(executor, pow, x, 2) for x in range(5))))

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


def test_a_queue_runs_programs_and_functions_together(federation: muster.Federation) -> None:
    with federation.executor() as executor:
        values = executor.map(abs, range(-50, 0))
        tasks = [federation.submit(["/bin/echo", str(number)]) for number in range(20)]
        assert {result.id for result in federation.as_completed()} == {task.id for task in tasks}
        assert list(values) == list(range(50, 0, -1))
        assert federation.empty() and federation.wait(0) is None
    federation.submit("echo after")
    result = federation.wait(20)
    assert result is not None and result.stdout == "after\n", "the executor was a guest"


def test_another_version_of_python_is_refused_before_anything_is_sent(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "python0"
    seen = tmp_path / "seen"
    # It says what it is given, and is of a version of its own.
    spy = f"def run(words, known):\n    open({str(seen)!r}, 'a').write(repr(words))"
    script = (
        "import sys\n"
        "text = sys.argv[3].replace('own = \"%d.%d\" % sys.version_info[:2]', 'own = \"0.9\"')\n"
        f"text = text.replace('def run(words, known):', {spy!r})\n"
        "sys.argv = ['', sys.argv[4]]\n"
        "exec(text)\n"
    )
    (tmp_path / "main.py").write_text(script)
    other.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path}/main.py \"$@\"\n")
    other.chmod(other.stat().st_mode | stat.S_IXUSR)
    with Executor(workers=1, python=str(other)) as executor:
        futures = [executor.submit(abs, number) for number in range(3)]
        for future in futures:
            with pytest.raises(muster.WrongPython, match="the worker's is 0.9"):
                future.result(30)
    version = "%d.%d" % sys.version_info[:2]
    assert seen.read_text() == repr([version]), "no function was sent"


def test_a_python_that_is_not_there_says_so(home: Path) -> None:
    with Executor(workers=1, python="/no/such/python") as executor:
        with pytest.raises(muster.WorkerCrashed, match="there is no /no/such/python"):
            executor.submit(abs, 1).result(30)


def test_a_call_has_its_limits(home: Path) -> None:
    with Executor(workers=1, time_limit=0.5) as executor:
        with pytest.raises(muster.WorkerCrashed, match="ran longer than its limit"):
            executor.submit(time.sleep, 100).result(30)
        assert executor.submit(abs, -3).result(30) == 3
