"""Queues and tasks."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

import muster
from conftest import Interruption, interrupting
from muster import Federation, Queue, Task


def test_a_task_comes_back_once_with_all_that_is_known(federation: Federation) -> None:
    task = federation.submit("echo out; echo err >&2; exit 3", tag="mine")
    result = federation.wait(20)
    assert result is not None and result.task is task and task.result is result
    assert (result.ok, result.status, result.exit_code, result.signal) == (False, "exit", 3, None)
    assert (result.stdout, result.stderr, result.tag) == ("out\n", "err\n", "mine")
    assert result.attempts == 1 and result.site == "site-a" and result.worker
    assert result.seconds > 0 and result.error == "ended with exit code 3"
    assert federation.wait(0) is None and federation.empty() and len(federation) == 0
    with pytest.raises(muster.TaskFailed, match="ended with exit code 3: err"):
        result.check()


def test_words_are_run_as_they_are_and_a_text_by_the_shell(federation: Federation) -> None:
    words = federation.submit(["/bin/echo", "$HOME", "a  b", "'"])
    text = federation.submit("X=1; echo $X a  b | tr a c")
    results = {result.id: result.stdout for result in federation.as_completed()}
    assert results == {words.id: "$HOME a  b '\n", text.id: "1 c b\n"}


def test_files_go_along_and_come_back(federation: Federation) -> None:
    Path("data").mkdir()
    Path("data/one").write_text("1")
    Path("data/two").write_text("22")
    task = federation.submit(
        "cat data/one data/two mem > sub.txt; mkdir -p d; echo x > d/y; echo z > p.log; ls data",
        inputs=["data", "data/one"],
        outputs=["sub.txt", "d", "*.log"],
    )
    assert task.result is None
    result = federation.wait(20)
    assert result is not None and result.ok and result.stdout == "one\ntwo\n"
    result = federation.submit(
        "cat data/one data/two mem > out; mkdir -p d; echo x > d/y; echo z > p.log",
        inputs={"data": "data", "mem": b"333"},
        outputs={"out": "here/result", "d": "here/dir", "*.log": "here"},
    ) and federation.wait(20)
    assert result is not None and result.ok, result and result.stderr
    assert Path("here/result").read_text() == "122333"
    assert Path("here/dir/y").read_text() == "x\n" and Path("here/p.log").read_text() == "z\n"
    assert result.outputs["out"] == Path.cwd() / "here/result"


def test_a_large_directory_travels_as_one(federation: Federation) -> None:
    for number in range(600):
        place = Path(f"many/{number % 7}")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}").write_text(f"{number}\n")
    Path("many/large").write_bytes(b"x" * 100_000)
    Path("many/0/f0").chmod(0o755)
    Path("many/hollow/deep").mkdir(parents=True)
    Path("none").mkdir()
    federation.submit("ls -d none many/hollow/deep && ls -A none", inputs=["none", "many/hollow"])
    result = federation.wait(30)
    assert result is not None and result.stdout == "many/hollow/deep\nnone\n", result and result.stderr
    federation.submit("find many -type f | wc -l; cat many/*/f* | sort -n | tail -1; test -x many/0/f0", inputs=["many"])
    result = federation.wait(30)
    assert result is not None and result.ok and result.stdout == "601\n599\n", result and result.stderr


def test_a_missing_output_is_a_failure_that_says_which(federation: Federation) -> None:
    federation.submit("true", outputs=["nothing"])
    result = federation.wait(20)
    assert result is not None and result.status == "output_missing" and result.error == "did not leave nothing"
    assert result.exit_code == 0


def test_fields_reach_the_task(federation: Federation) -> None:
    federation.submit("echo $A $CORES $MEMORY $DISK", env={"A": "b"}, cores=1, memory="512 MiB", disk="1 GB")
    result = federation.wait(20)
    assert result is not None and result.stdout == "b 1 512 953\n"
    federation.submit("sleep 60", time_limit=0.3)
    result = federation.wait(20)
    assert result is not None and result.status == "time_limit"
    federation.submit("exit 1", retries=2)
    result = federation.wait(20)
    assert result is not None and result.attempts == 3


def test_waiting_takes_the_time_that_it_is_given(federation: Federation) -> None:
    federation.submit("sleep 60")
    federation.flush()
    begun = time.monotonic()
    for _ in range(100):
        assert federation.wait(0) is None
    assert time.monotonic() - begun < 2
    begun = time.monotonic()
    assert federation.wait(0.1) is None
    assert 0.1 <= time.monotonic() - begun < 2
    assert federation.cancel() == 1
    result = federation.wait(20)
    assert result is not None and result.status == "cancelled" and result.error == "was cancelled"


def test_some_are_waited_for_and_the_others_stay(federation: Federation) -> None:
    tasks = [federation.submit(["/bin/echo", str(number)], tag=number) for number in range(6)]
    third = federation.wait_for(tasks[3], 20)
    assert third is not None and third.stdout == "3\n"
    assert {result.tag for result in federation.as_completed(tasks[:2])} == {0, 1}
    assert {result.tag for result in federation.as_completed()} == {2, 4, 5}
    slow = federation.submit("sleep 60")
    with pytest.raises(TimeoutError):
        list(federation.as_completed([slow], timeout=0.2))
    assert federation.cancel(slow) == 1


def test_nothing_is_lost_by_who_is_interrupted_while_it_waits(federation: Federation) -> None:
    count, seen, interruptions = 2000, 0, 0
    for number in range(count):
        federation.submit(["/bin/true"], tag=number)
    with interrupting():
        while not federation.empty():
            try:
                seen += federation.wait(1) is not None
            except Interruption:
                interruptions += 1
    assert interruptions > 20 and seen == count


def test_a_result_is_given_once(federation: Federation) -> None:
    one, other = federation.submit("echo one"), federation.submit("echo other")
    assert federation.wait_for(other, 20) is other.result
    assert federation.wait_for(one, 20) is one.result and federation.wait_for(one, 20) is one.result
    assert federation.wait(0) is None and federation.empty()
    slow = federation.submit("sleep 60")
    begun = time.monotonic()
    assert [result.stdout for result in federation.as_completed([one, other])] == ["one\n", "other\n"]
    with pytest.raises(ValueError, match="has not been submitted"):
        federation.wait_for(Task("true"))
    assert time.monotonic() - begun < 5, "what others wait for does not matter"
    federation.cancel(slow)


def test_a_task_can_be_submitted_after_it_could_not_be(federation: Federation) -> None:
    Path("in").write_text("1")
    task = federation.submit("cat in", inputs=["in"])
    first = federation.wait(20)
    Path("in").unlink()
    with pytest.raises(FileNotFoundError):
        federation.submit(task)
    assert task.result is first and federation.empty()
    Path("in").write_text("2")
    federation.submit(task)
    second = federation.wait(20)
    assert second is not None and second.stdout == "2"


def test_many_threads_use_one_queue(federation: Federation) -> None:
    seen: list[int] = []

    def use(number: int) -> None:
        task = federation.submit(["/bin/echo", str(number)])
        result = federation.wait_for(task, 30)
        assert result is not None
        seen.append(int(result.stdout))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(20))


def test_other_python_goes_on_while_one_thread_waits(federation: Federation) -> None:
    federation.submit("sleep 1")
    counted = 0
    waiter = threading.Thread(target=federation.wait)
    waiter.start()
    while waiter.is_alive():
        counted += 1
    assert counted > 1000, "the lock of Python is let go"


def test_coroutines_wait_together(federation: Federation) -> None:
    async def main() -> tuple[list[str], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        for number in range(3):
            federation.submit(f"sleep 0.2; echo {number}")
        outs = [result.stdout async for result in federation]
        ticking.cancel()
        return outs, ticks

    async def hasty() -> int:
        seen = 0
        for _ in range(20):
            federation.submit("sleep 0.03")
        while not federation.empty():
            try:
                seen += await asyncio.wait_for(federation.wait_async(), 0.02) is not None
            except asyncio.TimeoutError:
                pass
        return seen

    assert asyncio.run(hasty()) == 20, "who gives up has taken nothing"
    outs, ticks = asyncio.run(main())
    assert sorted(outs) == ["0\n", "1\n", "2\n"] and ticks > 5


def test_how_things_stand(federation: Federation) -> None:
    tasks = [federation.submit("sleep 60") for _ in range(5)]
    federation.flush()
    stats = federation.stats()
    assert stats.submitted == 5 and stats.ended == 0
    from conftest import until

    until("both workers are there", lambda: federation.stats().workers == 2)
    until("it is with a foreman", lambda: federation.stats().running >= 2)
    assert any("submitted" in line for line in federation.explain(tasks[0]))
    assert len(federation) == 5 and not federation.empty() and bool(federation)
    assert [site["site"] for site in federation.stats().sites] == ["site-a"]
    assert federation.cancel(tasks[0], tasks[1]) == 2
    assert federation.cancel() == 3
    assert {result.status for result in federation.as_completed()} == {"cancelled"}


def test_a_task_may_be_submitted_again_when_it_has_come_back(federation: Federation) -> None:
    task = Task("echo again")
    federation.submit(task)
    with pytest.raises(ValueError, match="has not come back"):
        federation.submit(task)
    first = federation.wait(20)
    federation.submit(task)
    second = federation.wait(20)
    assert first is not None and second is not None and first.id != second.id


@pytest.mark.parametrize(
    "error, sentence, fields",
    [
        (ValueError, "needs a command", {"command": ""}),
        (ValueError, "needs a command", {"command": []}),
        (TypeError, "not int", {"command": ["echo", 1]}),
        (TypeError, "not bytes", {"command": b"true"}),
        (ValueError, "NUL", {"command": ["a\0b"]}),
        (ValueError, "cores is from 0", {"cores": -1}),
        (TypeError, "cores is a number", {"cores": "many"}),
        (ValueError, "is no size", {"memory": "much"}),
        (ValueError, "is no time", {"time_limit": "long"}),
        (ValueError, "more than zero", {"time_limit": 0}),
        (ValueError, "retries is from 0", {"retries": -1}),
        (TypeError, "priority is a whole number", {"priority": 0.5}),
        (ValueError, "algorithm is one of", {"algorithm": "best"}),
        (ValueError, "multiple from 1", {"fast_abort": 0.5}),
        (TypeError, "need a name", {"inputs": b"bytes"}),
        (FileNotFoundError, "nowhere", {"inputs": ["nowhere"]}),
        (ValueError, "name in a sandbox", {"inputs": {"../out": b""}}),
        (ValueError, "two inputs are called x", {"inputs": [("/bin/true", "x"), ("/bin/false", "x")]}),
        (ValueError, "name in a sandbox", {"outputs": ["/etc/passwd"]}),
        (ValueError, "no name|cannot be set", {"env": {"A=B": "c"}}),
        (TypeError, "unexpected keyword", {"colour": "red"}),
    ],
)
def test_bad_arguments_raise_what_python_raises(
    federation: Federation, error: type[Exception], sentence: str, fields: dict[str, object]
) -> None:
    command = fields.pop("command", "true")
    with pytest.raises(error, match=sentence) as raised:
        federation.submit(command, **fields)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert federation.empty()


def test_a_queue_is_made_of_sensible_things(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for project in ["", "a/b", ".hidden", "x" * 65, "größe"]:
        with pytest.raises(ValueError, match="is no name of a project"):
            Queue(project)
    with pytest.raises(TypeError):
        Queue(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="workers are at least"):
        Federation.local(sites=3, workers=2)
    with pytest.raises(TypeError, match="Federation.local"):
        Federation()
    with pytest.raises(ConnectionError, match="no master of project nowhere"):
        muster.connect("nowhere")
    with pytest.raises(ValueError, match="is no name of a project"):
        Federation.local(project="a/b")
    with monkeypatch.context() as here:
        here.setenv("MUSTER_BIN", "/no/such/program")
        with pytest.raises(FileNotFoundError, match="/no/such/program"):
            Federation.local()
        here.setenv("MUSTER_STATE", "/proc/no/such/place")
        with pytest.raises(OSError, match="/proc/no"):
            Queue()


def test_a_forked_child_is_told_and_the_parent_goes_on(federation: Federation) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            federation.submit("true")
        except RuntimeError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert "before a fork" in os.read(read, 1000).decode()
    federation.submit("echo parent")
    result = federation.wait(20)
    assert result is not None and result.stdout == "parent\n"


def test_many_queues_live_in_one_process(home: Path) -> None:
    with Federation.local(sites=0, workers=1) as one, Federation.local(sites=0, workers=1) as other:
        one.submit("echo one")
        other.submit("echo other")
        first, second = one.wait(20), other.wait(20)
    assert first is not None and second is not None
    assert (first.stdout, second.stdout) == ("one\n", "other\n")
    with pytest.raises(muster.MusterError, match="closed"):
        one.submit("true")
    one.close()


def test_fifty_thousand_tasks_are_taken_while_nobody_works(home: Path) -> None:
    with Queue() as queue:
        for _ in range(50_000):
            queue.submit(["/bin/true"])
        queue.flush()
        assert queue.stats().submitted == 50_000 and len(queue) == 50_000
        assert queue.cancel() == 50_000
        assert sum(result.status == "cancelled" for result in queue.as_completed()) == 50_000
