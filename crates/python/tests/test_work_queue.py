"""The drop-in: what scripts of that system do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Iterator

import pytest

import work_queue as wq
from conftest import Interruption, interrupting, until
from work_queue import Factory, PythonTask, Task, WorkQueue


@pytest.fixture
def queue(home: Path) -> Iterator[WorkQueue]:
    with WorkQueue(0) as made:
        yield made


@pytest.fixture
def working(queue: WorkQueue) -> Iterator[WorkQueue]:
    factory = Factory(manager=queue)
    factory.min_workers = factory.max_workers = 2
    with factory:
        yield queue


def ran(queue: WorkQueue, task: Task) -> Task:
    queue.submit(task)
    back = queue.wait(20)
    assert back is task
    return task


def test_nothing_is_lost_by_who_is_interrupted_while_it_waits(working: WorkQueue) -> None:
    count, seen, interruptions = 1000, 0, 0
    for _ in range(count):
        working.submit(Task("true"))
    with interrupting():
        while not working.empty():
            try:
                seen += working.wait(1) is not None
            except Interruption:
                interruptions += 1
    assert interruptions > 20 and seen == count


def test_files_of_all_kinds_go_along_and_come_back(working: WorkQueue) -> None:
    Path("local").mkdir()
    Path("local/a").write_text("a" * 10)
    Path("local/sub").mkdir()
    Path("local/sub/b").write_text("b")
    task = Task("cat a renamed dir/sub/b buf text piece made url > out; mkdir -p left; touch left/x; ls -d empty")
    assert task.specify_input_file("local/a")
    assert task.specify_file("local/a", "renamed", wq.WORK_QUEUE_INPUT, cache=True)
    assert task.specify_directory("local", "dir", recursive=True)
    assert task.specify_directory("local", "empty")
    assert task.specify_buffer(b"bytes", "buf")
    assert task.specify_buffer("text", "text")
    assert task.specify_file_piece("local/a", "piece", 2, 4)
    assert task.specify_file_command("echo made > %%", "made")
    assert task.specify_url(f"file://{Path.cwd()}/local/sub/b", "url")
    assert task.specify_output_file("result", "out")
    assert task.specify_file("results/left", "left", type=wq.WORK_QUEUE_OUTPUT)
    ran(working, task)
    assert (task.result_str, task.return_status, task.output) == ("SUCCESS", 0, "empty\n"), task.output
    assert Path("result").read_text() == "a" * 20 + "bbytestextaaamade\nb"
    assert Path("results/left/x").exists()
    assert not Task("true").specify_file_piece("nowhere", "piece")


def test_results_say_what_happened(working: WorkQueue) -> None:
    assert ran(working, Task("exit 7")).return_status == 7
    task = ran(working, Task("echo out; echo err >&2; kill -9 $$"))
    assert (task.result, task.return_status) == (wq.WORK_QUEUE_RESULT_SIGNAL, 9)
    assert task.output == "out\nerr\n" and task.std_output == task.output
    task = Task("true")
    task.specify_output_file("nothing")
    assert ran(working, task).result == wq.WORK_QUEUE_RESULT_OUTPUT_MISSING and task.result_str == "OUTPUT_MISS"
    task = Task("true")
    task.specify_input_file("nowhere")
    assert ran(working, task).result == wq.WORK_QUEUE_RESULT_INPUT_MISSING and task.return_status == -1
    assert "nowhere" in str(task.output)
    for command, status in (("/no/such/program", 127), ("/etc/passwd", 126)):
        task = ran(working, Task(command))
        assert (task.result, task.return_status) == (wq.WORK_QUEUE_RESULT_SUCCESS, status)
    task = Task("sleep 60")
    task.specify_running_time_max(1)
    assert ran(working, task).result_str == "MAX_WALL_TIME"
    task = Task("sleep 60")
    task.specify_running_time(5e5)
    assert ran(working, task).result == wq.WORK_QUEUE_RESULT_TASK_MAX_RUN_TIME
    task = Task("dd if=/dev/zero of=big bs=1M count=64 2>/dev/null; sleep 60")
    task.specify_disk(8)
    assert ran(working, task).result_str == "RESOURCE_EXHAUSTION"
    assert task.limits_exceeded is not None and task.limits_exceeded.disk == 8 and task.exhausted_attempts == 1


def test_an_end_time_ends_tasks_that_run_and_tasks_that_wait(queue: WorkQueue) -> None:
    task = Task("true")
    task.specify_end_time((time.time() + 0.3) * 1e6)
    queue.submit(task)
    begun = time.monotonic()
    assert queue.wait(20) is task, "nobody works, and it comes back"
    assert task.result == wq.WORK_QUEUE_RESULT_TASK_TIMEOUT and time.monotonic() - begun < 5
    task = Task("true")
    task.specify_end_time(time.time() - 10)
    queue.submit(task)
    assert queue.wait(20) is task and task.result_str == "END_TIME", "seconds, as the talk's era had them"


def test_a_task_is_what_it_was_said_to_be(working: WorkQueue) -> None:
    task = Task("echo ${A}$B$CORES; echo ${HOME-none}")
    task.specify_tag(None)
    assert task.tag is None
    task.specify_tag("tag")
    task.specify_category("kind")
    task.specify_priority(0.5)
    task.specify_cores(1)
    task.specify_memory(100)
    task.specify_gpus(0)
    task.specify_environment_variable("A", "x")
    task.specify_environment_variable("HOME")
    task.specify_algorithm(wq.WORK_QUEUE_SCHEDULE_RAND)
    task.specify_command(task.command.replace("$B", "y"))
    ran(working, task)
    assert task.output == "xy1\nnone\n"
    assert (task.tag, task.category, task.priority, task.algorithm) == ("tag", "kind", 0.5, wq.WORK_QUEUE_SCHEDULE_RAND)
    assert task.id > 0 and task.hostname and task.host.startswith(task.hostname)
    assert task.submit_time <= task.execute_cmd_start <= task.execute_cmd_finish <= task.finish_time
    assert task.send_input_start == task.submit_time and task.send_input_finish == task.execute_cmd_start
    assert task.receive_output_start <= task.receive_output_finish == task.finish_time
    assert task.cmd_execution_time == task.total_cmd_execution_time > 0 and task.app_delay == 0
    assert task.total_cmd_exhausted_execute_time == 0 and task.total_transfer_time == 0
    assert task.total_submissions == 1 and task.total_bytes_transferred == 0
    assert task.total_bytes_sent == task.total_bytes_received == 0
    assert task.resources_requested.memory == 100 and task.resources_requested.disk == -1
    assert task.resources_allocated.cores == 1 and task.resources_allocated.memory == 100
    assert task.resources_measured.wall_time == task.cmd_execution_time
    copy = task.clone()
    assert (copy.id, copy.tag, copy.command, copy.output) == (0, "tag", task.command, None)
    assert ran(working, copy).output == "xy1\nnone\n"
    hosts = Task("true")
    hosts.specify_preferred_host("factory-1")
    assert ran(working, hosts).preferred_host == "factory-1"


def test_a_finished_task_may_be_submitted_again_and_an_unfinished_one_not(working: WorkQueue) -> None:
    task = Task("echo again")
    numbers = {ran(working, task).id for _ in range(3)}
    assert len(numbers) == 3
    slow = Task("sleep 60")
    working.submit(slow)
    with pytest.raises(ValueError, match="has not come back"):
        working.submit(slow)
    assert working.cancel_by_taskid(slow.id) is slow
    with pytest.raises(TypeError, match="takes a Task"):
        working.submit("true")  # type: ignore[arg-type]


def test_wait_takes_the_time_that_it_is_given(working: WorkQueue) -> None:
    assert working.wait() is None and working.wait(5) is None, "there is nothing to wait for"
    task = Task("sleep 60")
    working.submit(task)
    begun = time.monotonic()
    for _ in range(50):
        assert working.wait(0) is None
    assert time.monotonic() - begun < 2
    begun = time.monotonic()
    assert working.wait(0.1) is None
    assert 0.1 <= time.monotonic() - begun < 2
    assert not working.empty()
    tagged = Task("true")
    tagged.specify_tag("quick")
    working.submit(tagged)
    assert working.wait_for_tag("other", 5) is None
    assert working.wait_for_tag("quick", 20) is tagged
    assert working.wait_for_tag(None, 0) is None
    until("it is with a worker", lambda: working.task_state(task.id) == wq.WORK_QUEUE_TASK_RUNNING)
    assert working.cancel_by_taskid(task.id) is task and working.cancel_by_taskid(task.id) is None
    assert working.empty() and working.task_state(task.id) == wq.WORK_QUEUE_TASK_UNKNOWN


def test_tasks_are_cancelled_by_tag_and_category(queue: WorkQueue) -> None:
    for number in range(4):
        task = Task("true")
        task.specify_tag(f"tag{number % 2}")
        task.specify_category(f"kind{number}")
        queue.submit(task)
    assert (found := queue.cancel_by_tasktag("tag1")) is not None and found.id == 2
    assert queue.cancel_by_tasktag("none") is None
    assert [task.id for task in queue.cancel_by_category("kind0")] == [1]
    assert queue.cancel_by_category("none") == []
    assert queue.stats.tasks_cancelled == 2 and not queue.empty()


def test_statistics_count(working: WorkQueue) -> None:
    assert working.hungry() >= 10
    for number in range(12):
        task = Task(f"exit {number % 2}")
        task.specify_category("kind" if number < 5 else "other")
        working.submit(task)
    while not working.empty():
        working.wait(5)
    until("both workers are there", lambda: working.stats.workers_connected == 2)
    stats = working.stats
    assert (stats.tasks_submitted, stats.tasks_done, stats.tasks_failed, stats.tasks_waiting) == (12, 12, 0, 0)
    assert stats.tasks_dispatched >= 12 and stats.tasks_with_results == 0
    assert stats.total_workers_connected == 2 and stats.total_tasks_complete == 12
    assert stats.time_when_started == stats.start_time > 1e15
    assert stats.time_workers_execute >= stats.time_workers_execute_good > 0
    assert stats.bytes_sent > 0 and stats.capacity_cores == working.estimate_capacity() == 2
    assert stats.port == working.port and 0 <= stats.idle_percentage <= 1 and stats.efficiency > 0
    with pytest.raises(AttributeError, match="no field"):
        stats.nonsense
    hierarchy = working.stats_hierarchy
    assert hierarchy.workers_connected == 2 and hierarchy.tasks_done == 12
    assert working.stats_category("kind").tasks_done == 5 and working.stats_category("none").tasks_done == 0
    assert working.workers_summary() == [{"cores": 1, "workers": 2}]
    assert {row["hostname"] for row in working.status("workers")} == {"factory-1", "factory-2"}
    assert {row["category"] for row in working.status("categories")} == {"kind", "other"}
    assert working.status("queue")[0]["tasks_done"] == 12 and working.status("tasks") == []
    with pytest.raises(ValueError):
        working.status("weather")
    assert working.hungry() >= 10 and working.tune("hungry-minimum", 3) == 0


def test_the_hierarchy_counts_the_workers_of_foremen(home: Path, tmp_path: Path) -> None:
    binary = os.environ["MUSTER_BIN"]
    with WorkQueue(0) as queue:
        port = tmp_path / "port"
        above, state = f"127.0.0.1:{queue.port}", str(tmp_path)
        words = [binary, "foreman", "--superior", above, "--site", "campus", "--state-dir", f"{state}/f"]
        foreman = subprocess.Popen(
            [*words, "--listen", "127.0.0.1:0", "--port-file", str(port)], stderr=subprocess.DEVNULL
        )
        workers = []
        try:
            until("the foreman is ready", lambda: port.exists() and port.read_text().strip())
            below = f"127.0.0.1:{port.read_text().strip().rsplit(':', 1)[-1]}"
            for number in range(3):
                words = [binary, "worker", below if number else above, "--site", "campus", "--cores", "1"]
                words += ["--state-dir", f"{state}/w{number}"]
                workers.append(subprocess.Popen(words, stderr=subprocess.DEVNULL))
            until("all are there", lambda: queue.stats_hierarchy.workers_connected == 3)
            until("and told", lambda: queue.stats.workers_connected == 2)
        finally:
            for process in [*workers, foreman]:
                process.terminate()
            for process in [*workers, foreman]:
                process.wait(20)


def test_categories_bound_resources_and_numbers(working: WorkQueue) -> None:
    working.specify_max_resources({"cores": 1, "memory": 200})
    working.specify_min_resources({"memory": 50})
    working.specify_category_max_resources("small", {"memory": 100})
    working.specify_category_min_resources("large", {"memory": 150})
    working.specify_category_first_allocation_guess("guessed", {"memory": 120})
    expected = {"default": "200", "small": "100", "large": "200", "guessed": "120"}
    for category, memory in expected.items():
        task = Task("echo $MEMORY")
        task.specify_category(category)
        assert ran(working, task).output == f"{memory}\n", category
    task = Task("echo $MEMORY")
    task.specify_category("large")
    task.specify_memory(10)
    assert ran(working, task).output == "150\n"
    with pytest.raises(ValueError, match="is no resource"):
        working.specify_max_resources({"colour": 1})
    working.specify_category_max_concurrent("one", 1)
    for number in range(3):
        task = Task(f"mkdir {Path.cwd()}/alone && sleep 0.1 && rmdir {Path.cwd()}/alone")
        task.specify_category("one")
        working.submit(task)
    assert working.stats_category("one").tasks_waiting + working.stats_category("one").tasks_running == 3
    statuses = []
    while not working.empty():
        back = working.wait(20)
        assert back is not None
        statuses.append(back.return_status)
    assert statuses == [0, 0, 0], "never two at a time"


def test_how_tasks_are_scheduled(working: WorkQueue) -> None:
    working.specify_algorithm(wq.WORK_QUEUE_SCHEDULE_FILES)
    assert working.activate_fast_abort(3) == 0 and working.activate_fast_abort_category("slow", 0) == 0
    assert working._abort("any") == 3 and working._abort("slow") is None
    assert working.tune("fast-abort-multiplier", 2) == 0 and working._abort("any") == 2
    assert working.tune("no-such-thing", 1) == -1
    working.specify_task_order(wq.WORK_QUEUE_TASK_ORDER_FIFO)
    assert ran(working, Task("true")).result == 0
    assert working.specify_category_mode("any", wq.WORK_QUEUE_ALLOCATION_MODE_FIXED) == 1
    for bad in (lambda: working.specify_algorithm(99), lambda: working.specify_task_order(7)):
        with pytest.raises(ValueError):
            bad()
    working.unblock_host()
    working.blacklist_clear()
    working.invalidate_cache_file("anything")
    assert working.application_info() is None


def test_a_queue_has_a_name_and_ports(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkQueue(0, "named") as queue:
        assert queue.name == "named" and queue.using_ssl and 0 < queue.port < 65536
        port = queue.port
        queue.specify_name("renamed")
        assert (queue.name, queue.port) == ("renamed", port)
        assert sorted(path.name for path in (home / ".local/state/muster/projects").iterdir()) == ["renamed"]
        with pytest.raises(Exception, match="Unable to create internal Work Queue structure"):
            WorkQueue(port)
        with WorkQueue((port, port + 20)) as other:
            assert port < other.port <= port + 20
        assert queue.specify_min_taskid(100) == 100
        assert queue.submit(Task("true")) == 100
        with pytest.raises(ValueError, match="before the first task"):
            queue.specify_name("late")
    monkeypatch.setenv("WORK_QUEUE_NAME", "of-environment")
    wq.specify_port_range(port, port + 30)
    with WorkQueue(0) as queue:
        assert queue.name == "of-environment" and port <= queue.port <= port + 30
    monkeypatch.delenv("TCP_LOW_PORT"), monkeypatch.delenv("TCP_HIGH_PORT")
    with pytest.raises(TypeError, match="smaller than"):
        wq.specify_port_range(2, 1)
    for bad in ((2, 1), "9123", (1, 2, 3)):
        with pytest.raises(TypeError):
            WorkQueue(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        WorkQueue(70000)
    with pytest.raises(TypeError, match="unexpected keyword"):
        WorkQueue(0, colour="red")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WorkQueue(0, catalog=False, exclusive=True, ssl=(None, None)).delete()


def test_logs_are_written(working: WorkQueue) -> None:
    assert working.specify_log("stats") and working.specify_transactions_log("transactions")
    ran(working, Task("true"))
    working.delete()
    stats = Path("stats").read_text().splitlines()
    names = stats[0].split()[2:]
    last = dict(zip(names, stats[-1].split()[1:]))
    assert stats[0].startswith("# timestamp workers_connected") and last["tasks_done"] == "1"
    lines = [line.split(" ", 2)[2] for line in Path("transactions").read_text().splitlines() if line[0] != "#"]
    assert lines == [
        "MANAGER START",
        "TASK 1 WAITING default",
        "TASK 1 RETRIEVED SUCCESS",
        "TASK 1 DONE SUCCESS 0",
        "MANAGER END",
    ]


def test_functions_are_tasks(working: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PYTHON", sys.executable)

    def divide(one: int, other: int = 1) -> float:
        print("dividing")
        return one / other

    task = PythonTask(divide, 6, other=3)
    task.specify_tag("f")
    assert ran(working, task).output == 2 and task.result == 0 and task.std_output == "dividing\n"
    assert isinstance(ran(working, PythonTask(divide, 1, 0)).output, ZeroDivisionError)
    assert ran(working, PythonTask(lambda: b"x" * 100_000)).output == b"x" * 100_000
    died = ran(working, PythonTask(os._exit, 3))
    assert isinstance(died.output, wq.PythonTaskNoResult) and died.return_status == 3
    Path("data").write_text("data")
    task = PythonTask(lambda: (open("data").read(), os.listdir("empty"), "HOME" in os.environ))
    task.specify_input_file("data")
    task.specify_directory("empty")
    task.specify_environment_variable("HOME")
    assert ran(working, task).output == ("data", [], False)
    task = PythonTask(lambda: open("data").read())
    task.specify_input_file("data")
    assert ran(working, task).output == "data"
    again = ran(working, task)
    assert again.output == "data"
    with pytest.raises(TypeError, match="not callable"):
        PythonTask("text")  # type: ignore[arg-type]
    assert working.map(abs, range(-5, 0), 2) == [5, 4, 3, 2, 1]
    assert working.pair(pow, [2, 3], [1, 2], chunksize=3) == [2, 4, 3, 9]
    assert working.tree_reduce(sum, range(10), 3) == 45
    with pytest.raises(ValueError):
        working.tree_reduce(sum, [])


def test_a_factory_keeps_workers(queue: WorkQueue) -> None:
    factory = Factory("local", manager_host_port=f"127.0.0.1:{queue.port}")
    factory.min_workers, factory.max_workers, factory.cores = 1, 3, 2
    with pytest.raises(AttributeError, match="no option"):
        factory.colour = "red"
    with pytest.raises(AttributeError):
        factory.nonsense
    factory.start()
    with pytest.raises(RuntimeError, match="already started"):
        factory.start()
    until("there is one", lambda: queue.stats.workers_connected == 1)
    until("it says what it has", lambda: queue.stats.total_cores == 2)
    with pytest.raises(AttributeError, match="while the factory runs"):
        factory.scratch_dir = "/tmp"
    (pid,) = [worker.pid for worker in factory._workers.values()]
    os.kill(pid, 9)
    until("it is replaced", lambda: pid not in [worker.pid for worker in factory._workers.values()])
    factory.max_workers = 2
    factory.min_workers = 2
    until("there are two", lambda: queue.stats.workers_connected == 2)
    factory.stop()
    # The killed one is missed after twenty seconds of silence.
    until("there are none", lambda: queue.stats.workers_connected == 0, 60)
    with pytest.raises(RuntimeError, match="not yet started"):
        factory.stop()
    with pytest.raises(ValueError, match="must be specified"):
        Factory("local")


def test_a_factory_waits_for_its_manager_and_ends_no_worker_that_is_busy(home: Path) -> None:
    factory = Factory(manager_name="late", log_file="factory.log")
    factory.min_workers, factory.max_workers, factory.workers_per_cycle = 0, 3, 3
    with factory:
        until("it has looked", lambda: "late" in Path("factory.log").read_text())
        with WorkQueue(0, "late") as queue:
            gate = Path.cwd() / "gate"
            for number in range(3):
                queue.submit(Task(f"while [ {number} = 0 ] && [ ! -e {gate} ]; do sleep 0.05; done"))
            assert {task.id for task in (queue.wait(30), queue.wait(30)) if task is not None} == {2, 3}
            until("the idle ones have gone", lambda: len(factory._workers) == 1)
            gate.touch()
            task = queue.wait(30)
            assert task is not None and task.id == 1 and task.total_submissions == 1


def test_what_cannot_be_submitted_leaves_the_queue_as_it_was(working: WorkQueue) -> None:
    too_many = Task("true")
    too_many.specify_cores(2e9)
    too_long = Task("true")
    too_long.specify_environment_variable("A", "x" * 200_000)
    for error, task in ((TypeError, PythonTask(len, threading.Lock())), (ValueError, too_many), (ValueError, too_long)):
        with pytest.raises(error):
            working.submit(task)
        assert working.empty() and working.wait(0) is None and working.stats.tasks_submitted == 0
    too_many.specify_cores(1)
    assert ran(working, too_many).result == 0
    missing = Task("true")
    missing.specify_input_file("nowhere/at all")
    assert "nowhere/at all" in str(ran(working, missing).output)


def test_a_queue_that_nobody_holds_frees_its_port(home: Path) -> None:
    queue = WorkQueue(0)
    port = queue.port
    queue.submit(Task("true"))
    del queue
    WorkQueue(port).delete()


def test_nothing_is_left_of_functions_that_are_cancelled(queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path.cwd() / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    tasks = [PythonTask(abs, -1) for _ in range(2)]
    for task in tasks:
        queue.submit(task)
    assert queue.cancel_by_taskid(tasks[0].id) is tasks[0]
    queue.delete()
    assert list(place.iterdir()) == []
    assert isinstance(tasks[0].output, wq.PythonTaskNoResult)


def test_workers_are_admitted_by_the_password(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse battery staple\n")
    wrong.write_text("something else\n")
    command = [sys.executable, "-c", "from work_queue._commands import worker; worker()"]
    with WorkQueue(0) as queue:
        assert queue.specify_password_file(str(right))
        # Another host has nothing of this one but the file.
        monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
        words = [*command, "127.0.0.1", str(queue.port), "--cores", "1", "-d", "all", "-o", str(tmp_path / "log")]
        stranger = subprocess.Popen([*words, "--password", str(wrong)])
        friend = subprocess.Popen([*words, "-P", str(right), "-s", str(tmp_path)])
        try:
            queue.submit(Task("echo $HOME"))
            task = queue.wait(30)
            assert task is not None and task.output == f"{tmp_path / 'elsewhere'}\n"
            assert queue.stats.workers_connected == 1
            environ = Path(f"/proc/{friend.pid}/environ").read_bytes() + Path(f"/proc/{friend.pid}/cmdline").read_bytes()
            assert b"battery" not in environ
        finally:
            for process in (stranger, friend):
                process.terminate()
            for process in (stranger, friend):
                process.wait(20)
        keys = next((tmp_path / "elsewhere/.local/state/muster/passwords").iterdir())
        assert (keys / "authority.key").stat().st_mode & 0o777 == 0o600
    with WorkQueue(0) as queue, pytest.raises(ValueError, match="empty"):
        queue.specify_password("")


def test_the_commands_that_launchers_call(queue: WorkQueue, tmp_path: Path) -> None:
    def command(name: str, *words: str) -> list[str]:
        return [sys.executable, "-c", f"from work_queue._commands import {name}; {name}()", *words]

    queue.specify_name("launched")
    work = [*command("worker", "-N", "launched", "-t", "1", "--cores", "1", "--memory", "500", "--disk", "500", "-b", "5")]
    with subprocess.Popen(work) as worker:
        queue.submit(Task("echo $MEMORY"))
        task = queue.wait(30)
        assert task is not None and task.return_status == 0
        told = subprocess.run(command("status"), capture_output=True, text=True, check=True).stdout.splitlines()
        assert told[0].split() == ["PROJECT", "HOST", "WAITING", "RUNNING", "COMPLETE", "WORKERS"]
        assert told[1].split() == ["launched", "launched", "0", "0", "1", "1"]
        told = subprocess.run(command("status", "-W", "127.0.0.1", str(queue.port)), capture_output=True, text=True)
        assert "home" in told.stdout.splitlines()[1]
        told = subprocess.run(command("status", "-l", "-M", "launched"), capture_output=True, text=True)
        assert json.loads(told.stdout)[0]["tasks"]["accounted"] == 1
        assert worker.wait(30) == 0, "it leaves when there is nothing to do"
    fewer = command("factory", "-T", "local", "-M", "launched", "-w", "1", "-W", "1", "--factory-timeout", "2")
    with subprocess.Popen(fewer) as factory:
        queue.submit(Task("true"))
        assert queue.wait(30) is not None
        assert factory.wait(30) == 0
    for words, sentence in (
        (command("worker"), "give HOST PORT"),
        (command("worker", "-N", "nobody"), "nothing of the name nobody"),
        (command("worker", "--foreman", "x", "h", "1"), "muster foreman"),
        (command("worker", "-P", "/no/file", "h", "1"), "password file cannot be used"),
        (command("factory", "-T", "condor", "-M", "x"), "batch system"),
        (command("status", "-T"), "muster explain"),
    ):
        told = subprocess.run(words, capture_output=True, text=True)
        assert told.returncode == 2 and sentence in told.stderr, told.stderr


def test_eras_and_other_names(home: Path) -> None:
    assert wq.Task("true")._inputs == []
    wq.compat("talk")
    try:
        from work_queue._task import default_cache

        assert default_cache()
    finally:
        wq.compat("current")
    with pytest.raises(ValueError, match="is no era"):
        wq.compat("stone age")
    assert Path(wq.staging_directory).is_dir()


def test_the_functions_of_the_library(home: Path) -> None:
    q = wq.work_queue_create(0)
    assert q is not None and wq.work_queue_port(q) == q.port and wq.work_queue_name(q) is None
    assert wq.work_queue_create(q.port) is None, "the port is taken"
    t = wq.work_queue_task_create("true")
    wq.work_queue_task_specify_tag(t, "tag")
    assert wq.work_queue_task_clone(t).tag == "tag"
    assert wq.work_queue_submit(q, t) == 1 and wq.work_queue_empty(q) is False
    assert wq.work_queue_wait(q, 0) is None and wq.work_queue_hungry(q) > 0
    stats = wq.work_queue_stats()
    wq.work_queue_get_stats(q, stats)
    assert stats.tasks_submitted == 1
    wq.work_queue_get_stats_category(q, "default", stats)
    assert stats.tasks_submitted == 1
    assert wq.work_queue_cancel_by_taskid(q, 1) is t and wq.work_queue_empty(q) is True
    assert wq.work_queue_result_str(0) == "SUCCESS" and wq.work_queue_result_str(99) == "UNKNOWN"
    assert wq.work_queue_tune(q, "hungry-minimum", 5) == 0
    wq.work_queue_task_delete(t)
    wq.work_queue_delete(q)
