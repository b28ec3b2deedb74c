"""The table of that system's interface, walked: every name is there, takes what it took, and is tried.

Each row is a name with the parameters it has there, and what becomes of it here: ``works`` (a test of
``test_work_queue.py`` uses it), ``refused`` (it raises :class:`work_queue.Unsupported`) or ``told`` (it is accepted with
a warning). The parameters are those of version 7 of that system; what else may be passed is more.
"""

from __future__ import annotations

import inspect
import os
import re
import warnings
from pathlib import Path
from typing import Any, Iterator

import pytest

import work_queue as wq

TESTS = Path(__file__).with_name("test_work_queue.py").read_text() + Path(__file__).read_text().rsplit("# -- tried here", 1)[1]

TASK = """
clone() works
specify_command(command) works
specify_coprocess(name) refused
specify_algorithm(algorithm) works
specify_tag(tag) works
specify_category(name) works
specify_feature(name) refused
specify_preferred_host(hostname) works
specify_file(local_name, remote_name=None, type=None, flags=None, cache=None, failure_only=None) works
specify_input_file(local_name, remote_name=None, flags=None, cache=None) works
specify_output_file(local_name, remote_name=None, flags=None, cache=None, failure_only=None) works
specify_directory(local_name, remote_name=None, type=None, flags=None, recursive=False, cache=None, failure_only=None) works
specify_buffer(buffer, remote_name, flags=None, cache=None) works
specify_url(url, remote_name, type=None, flags=None, cache=None, failure_only=None) works
specify_file_command(cmd, remote_name, type=None, flags=None, cache=None, failure_only=None) works
specify_file_piece(local_name, remote_name=None, start_byte=0, end_byte=0, type=None, flags=None, cache=None, failure_only=None) works
specify_snapshot_file(filename) refused
specify_monitor_output(directory) refused
specify_max_retries(max_retries) told
specify_cores(cores) works
specify_memory(memory) works
specify_disk(disk) works
specify_gpus(gpus) works
specify_priority(priority) works
specify_end_time(useconds) works
specify_start_time_min(useconds) refused
specify_running_time(useconds) works
specify_running_time_max(seconds) works
specify_running_time_min(seconds) told
specify_environment_variable(name, value=None) works
"""

TASK_PROPERTIES = """
tag category command priority algorithm std_output output id return_status result result_str total_submissions
exhausted_attempts host hostname submit_time finish_time app_delay send_input_start send_input_finish
execute_cmd_start execute_cmd_finish receive_output_start receive_output_finish total_bytes_received total_bytes_sent
total_bytes_transferred total_transfer_time cmd_execution_time total_cmd_execution_time
total_cmd_exhausted_execute_time resources_measured limits_exceeded resources_requested resources_allocated
preferred_host
""".split()

QUEUE = """
submit(task) works
wait(timeout=-1) works
wait_for_tag(tag, timeout=-1) works
empty() works
hungry() works
cancel_by_taskid(taskid) works
cancel_by_tasktag(tag) works
cancel_by_category(category) works
task_state(taskid) works
status(request) works
workers_summary() works
stats_category(category) works
specify_name(name) works
specify_password(password) works
specify_password_file(filename) works
specify_priority(priority) told
specify_catalog_server(hostname, port) works
specify_manager_mode(mode) told
specify_master_mode(mode) told
specify_manager_preferred_connection(mode) told
specify_master_preferred_connection(mode) told
specify_min_taskid(minid) works
specify_num_tasks_left(count) told
specify_log(logfile) works
specify_transactions_log(logfile) works
enable_monitoring(dirname=None, watchdog=True) told
enable_monitoring_full(dirname=None, watchdog=True) refused
specify_algorithm(algorithm) works
specify_task_order(order) works
activate_fast_abort(multiplier) works
activate_fast_abort_category(name, multiplier) works
specify_draining_by_hostname(hostname, drain_mode=True) refused
block_host(host) refused
blacklist(host) refused
block_host_with_timeout(host, timeout) refused
blacklist_with_timeout(host, timeout) refused
unblock_host(host=None) works
blacklist_clear(host=None) works
invalidate_cache_file(local_name) works
specify_keepalive_interval(interval) told
specify_keepalive_timeout(timeout) told
estimate_capacity() works
tune(name, value) works
shutdown_workers(n) told
specify_category_mode(category, mode) works
specify_category_autolabel_resource(category, resource, autolabel) refused
specify_max_resources(rmd) works
specify_min_resources(rmd) works
specify_category_max_resources(category, rmd) works
specify_category_min_resources(category, rmd) works
specify_category_first_allocation_guess(category, rmd) works
specify_category_max_concurrent(category, max_concurrent) works
initialize_categories(filename, rm) refused
map(fn, seq, chunksize=1) works
pair(fn, seq1, seq2, chunksize=1, env=None) works
tree_reduce(fn, seq, chunksize=2) works
remote_map(fn, seq, coprocess, name, chunksize=1) refused
remote_pair(fn, seq1, seq2, coprocess, name, chunksize=1) refused
remote_tree_reduce(fn, seq, coprocess, name, chunksize=2) refused
application_info() works
"""

QUEUE_PROPERTIES = "name port using_ssl stats stats_hierarchy".split()

CONSTRUCTORS = """
WorkQueue(port=9123, name=None, shutdown=False, stats_log=None, transactions_log=None, debug_log=None, ssl=None, status_display_interval=None)
Task(command)
Factory(batch_type='local', manager=None, manager_host_port=None, manager_name=None, factory_binary=None, worker_binary=None, log_file='/dev/null')
"""

CONSTANTS = {
    "DEFAULT_PORT": 9123, "RANDOM_PORT": 0, "WAITFORTASK": -1, "INPUT": 0, "OUTPUT": 1, "NOCACHE": 0, "CACHE": 1,
    "SYMLINK": 2, "PREEXIST": 4, "THIRDGET": 8, "THIRDPUT": 8, "WATCH": 16, "FAILURE_ONLY": 32, "SUCCESS_ONLY": 64,
    "SCHEDULE_UNSET": 0, "SCHEDULE_FCFS": 1, "SCHEDULE_FILES": 2, "SCHEDULE_TIME": 3, "SCHEDULE_RAND": 4,
    "SCHEDULE_WORST": 5, "RESULT_SUCCESS": 0, "RESULT_INPUT_MISSING": 1, "RESULT_OUTPUT_MISSING": 2,
    "RESULT_STDOUT_MISSING": 4, "RESULT_SIGNAL": 8, "RESULT_RESOURCE_EXHAUSTION": 16, "RESULT_TASK_TIMEOUT": 24,
    "RESULT_UNKNOWN": 32, "RESULT_FORSAKEN": 40, "RESULT_MAX_RETRIES": 48, "RESULT_TASK_MAX_RUN_TIME": 56,
    "RESULT_DISK_ALLOC_FULL": 64, "RESULT_RMONITOR_ERROR": 72, "RESULT_OUTPUT_TRANSFER_ERROR": 80, "TASK_UNKNOWN": 0,
    "TASK_READY": 1, "TASK_RUNNING": 2, "TASK_WAITING_RETRIEVAL": 3, "TASK_RETRIEVED": 4, "TASK_DONE": 5,
    "TASK_CANCELED": 6, "FILE": 1, "BUFFER": 2, "REMOTECMD": 3, "FILE_PIECE": 4, "DIRECTORY": 5, "URL": 6,
    "ALLOCATION_MODE_FIXED": 0, "ALLOCATION_MODE_MAX": 1, "ALLOCATION_MODE_MIN_WASTE": 2,
    "ALLOCATION_MODE_MAX_THROUGHPUT": 3, "ALLOCATION_MODE_GREEDY_BUCKETING": 4,
    "ALLOCATION_MODE_EXHAUSTIVE_BUCKETING": 5, "ALLOCATION_MODE_DET_GREEDY_BUCKETING": 6,
    "ALLOCATION_MODE_DET_EXHAUSTIVE_BUCKETING": 7, "ALLOCATION_MODE_QUANTIZED_BUCKETING": 8, "TASK_ORDER_FIFO": 0,
    "TASK_ORDER_LIFO": 1, "MANAGER_MODE_STANDALONE": 0, "MANAGER_MODE_CATALOG": 1, "MASTER_MODE_STANDALONE": 0,
    "MASTER_MODE_CATALOG": 1, "DEFAULT_KEEPALIVE_INTERVAL": 120, "DEFAULT_KEEPALIVE_TIMEOUT": 30,
}  # fmt: skip

FUNCTIONS = """
create ssl_create delete submit wait wait_for_tag hungry empty port name task_create task_clone task_delete
task_specify_tag task_specify_category task_specify_file task_specify_input_file task_specify_output_file
task_specify_directory task_specify_buffer task_specify_url task_specify_file_command task_specify_file_piece
task_specify_cores task_specify_memory task_specify_disk task_specify_gpus task_specify_priority
task_specify_end_time task_specify_running_time task_specify_environment_variable task_specify_algorithm
specify_name specify_password specify_password_file specify_priority specify_catalog_server specify_manager_mode
specify_master_mode specify_min_taskid specify_num_tasks_left specify_log specify_transactions_log specify_algorithm
specify_task_order specify_keepalive_interval specify_keepalive_timeout specify_max_resources specify_min_resources
specify_category_max_resources specify_category_min_resources specify_category_mode cancel_by_taskid
cancel_by_tasktag cancel_all_tasks block_host block_host_with_timeout unblock_host unblock_all tune get_stats
get_stats_hierarchy get_stats_category status result_str stats activate_fast_abort
""".split()

STATISTICS = """
workers_connected workers_init workers_idle workers_busy workers_able workers_joined workers_removed workers_released
workers_idled_out workers_fast_aborted workers_blocked workers_lost tasks_waiting tasks_on_workers tasks_running
tasks_with_results tasks_submitted tasks_dispatched tasks_done tasks_failed tasks_cancelled tasks_exhausted_attempts
time_when_started time_send time_receive time_send_good time_receive_good time_status_msgs time_internal time_polling
time_application time_workers_execute time_workers_execute_good time_workers_execute_exhaustion bytes_sent
bytes_received bandwidth capacity_tasks capacity_cores capacity_memory capacity_disk capacity_gpus
capacity_instantaneous capacity_weighted total_cores total_memory total_disk committed_cores committed_memory
committed_disk max_cores max_memory max_disk min_cores min_memory min_disk manager_load total_workers_connected
total_workers_joined total_workers_removed total_workers_lost total_workers_idled_out total_workers_fast_aborted
tasks_complete total_tasks_dispatched total_tasks_complete total_tasks_failed total_tasks_cancelled
total_exhausted_attempts start_time total_send_time total_receive_time total_good_transfer_time total_execute_time
total_good_execute_time total_exhausted_execute_time total_bytes_sent total_bytes_received capacity efficiency
idle_percentage total_gpus committed_gpus max_gpus min_gpus port priority workers_ready workers_full
total_worker_slots avg_capacity workers_blacklisted
""".split()

#: Arguments for what is refused and what is told.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "specify_start_time_min": (4e15,),
    "specify_manager_mode": (1,),
    "specify_master_mode": (1,),
    "specify_manager_preferred_connection": ("by_ip",),
    "specify_master_preferred_connection": ("by_ip",),
    "enable_monitoring": (),
    "enable_monitoring_full": (),
    "shutdown_workers": (0,),
}


def rows(table: str) -> Iterator[tuple[str, str, str]]:
    for line in table.strip().splitlines():
        match = re.fullmatch(r"(\w+)\((.*)\) (\w+)", line)
        assert match is not None, line
        yield match[1], match[2], match[3]


def check_signature(found: Any, told: str) -> None:
    """What could be passed there, by place or by name, can be passed here, and means the same if it is left out."""
    there: dict[str, Any] = {}
    exec(f"def function({told}): pass", there)
    ours = [p for p in inspect.signature(found).parameters.values() if p.name != "self"]
    if any(p.kind is p.VAR_POSITIONAL for p in ours):
        return
    theirs = list(inspect.signature(there["function"]).parameters.values())
    assert [p.name for p in ours[: len(theirs)]] == [p.name for p in theirs]
    assert [p.default for p in ours[: len(theirs)]] == [p.default for p in theirs]
    rest = ours[len(theirs) :]
    assert all(p.kind is p.VAR_KEYWORD or p.default is not p.empty for p in rest)


@pytest.fixture
def queue(home: Path) -> Iterator[wq.WorkQueue]:
    with wq.WorkQueue(0) as made:
        yield made


@pytest.mark.parametrize("owner, table", [(wq.Task, TASK), (wq.WorkQueue, QUEUE)], ids=["Task", "WorkQueue"])
def test_every_method_is_there_and_is_tried(owner: type, table: str, queue: wq.WorkQueue) -> None:
    task = wq.Task("true")
    subject: Any = task if owner is wq.Task else queue
    for name, parameters, fate in rows(table):
        check_signature(getattr(owner, name), parameters)
        arguments = ARGUMENTS.get(name, tuple("x" if "name" in p or "host" in p else 1 for p in required(parameters)))
        if fate == "refused":
            with pytest.raises(wq.Unsupported, match="is not offered by Muster: "):
                getattr(subject, name)(*arguments)
        elif fate == "told":
            wq._refusals._told.clear()
            with pytest.warns(UserWarning, match=":"):
                getattr(subject, name)(*arguments)
        else:
            assert fate == "works" and f".{name}(" in TESTS, f"no test uses {name}"


def required(parameters: str) -> list[str]:
    return [p.strip() for p in parameters.split(",") if p.strip() and "=" not in p]


@pytest.mark.parametrize(
    "owner, names",
    [(wq.Task, TASK_PROPERTIES), (wq.WorkQueue, QUEUE_PROPERTIES)],
    ids=["Task", "WorkQueue"],
)
def test_every_property_is_there_and_is_read(owner: type, names: list[str], queue: wq.WorkQueue) -> None:
    subject: Any = wq.Task("true") if owner is wq.Task else queue
    for name in names:
        getattr(subject, name)
        assert f".{name}" in TESTS, f"no test reads {name}"


def test_constructors_constants_functions_and_statistics_are_there() -> None:
    for line in CONSTRUCTORS.strip().splitlines():
        name, told = line.split("(", 1)
        check_signature(getattr(wq, name).__init__, told[:-1])
    names: dict[str, Any] = {}
    exec("from work_queue import *", names)
    for name, value in CONSTANTS.items():
        assert names[f"WORK_QUEUE_{name}"] == value, name
    for name in FUNCTIONS:
        assert callable(names[f"work_queue_{name}"]), name
    for name in ("WorkQueue", "Task", "PythonTask", "PythonTaskNoResult", "RemoteTask", "Factory"):
        assert name in names
    stats = wq.work_queue_stats()
    assert [name for name in STATISTICS if not hasattr(stats, name)] == []


# -- tried here


def test_what_only_some_uses_mean_is_refused_with_a_reason(queue: wq.WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    for refused in (
        lambda: wq.RemoteTask("f", "c"),
        lambda: wq.PythonTask(abs).specify_environment("env.tar.gz"),
        lambda: wq.PythonTask(abs).specify_package("env.tar.gz"),
        lambda: wq.PythonTask(abs).specify_command("true"),
        lambda: wq.PythonTask(abs).specify_file_command("c", "f"),
        lambda: wq.PythonTask(abs).specify_url("u", "f"),
        lambda: wq.Task("true").specify_file_piece("f", "f", type=wq.WORK_QUEUE_OUTPUT),
        lambda: wq.Task("true").specify_file_command("c", "f", type=wq.WORK_QUEUE_OUTPUT),
        lambda: wq.Factory("condor", manager_name="x"),
        lambda: wq.Factory(manager_name="x").specify_environment("env"),
        lambda: wq.Factory(manager_name="x").specify_package("env"),
        lambda: queue.specify_task_order(wq.WORK_QUEUE_TASK_ORDER_LIFO),
        lambda: queue.pair(abs, [1], [2], env="env"),
    ):
        with pytest.raises(wq.Unsupported, match="is not offered by Muster: "):
            refused()
    wq.Task("true").specify_start_time_min(1.0)
    monkeypatch.setenv("MUSTER_CATALOG", "")
    queue.specify_catalog_server("127.0.0.1", 1)
    assert os.environ["MUSTER_CATALOG"] == "127.0.0.1:1"


def test_what_has_no_effect_says_so_once(queue: wq.WorkQueue) -> None:
    task = wq.Task("true")
    for told in (
        lambda: queue.tune("keepalive-interval", 1),
        lambda: queue.specify_category_mode("c", wq.WORK_QUEUE_ALLOCATION_MODE_MAX),
        lambda: task.specify_output_file("o", flags=wq.WORK_QUEUE_WATCH),
        lambda: task.specify_input_file("i", flags=wq.WORK_QUEUE_SYMLINK),
        lambda: wq.set_debug_flag("all"),
        lambda: wq.specify_debug_log("log"),
        lambda: setattr(wq.Factory(manager_name="x"), "wrapper", "w"),
        lambda: wq.Factory(manager_name="x", factory_binary="b"),
        lambda: wq.WorkQueue(0, catalog=True).delete(),
        lambda: wq.WorkQueue(0, ssl=("key", "cert")).delete(),
        lambda: wq.WorkQueue(0, debug_log="log").delete(),
        lambda: wq.WorkQueue(0, "bad name").delete(),
    ):
        wq._refusals._told.clear()
        with pytest.warns(UserWarning, match=":"):
            told()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            told()


def test_bad_arguments_raise_what_python_raises(queue: wq.WorkQueue) -> None:
    task = wq.Task("true")
    for error, wrong in (
        (TypeError, lambda: wq.Task(3)),
        (ValueError, lambda: task.specify_algorithm(77)),
        (ValueError, lambda: task.specify_input_file("x", "/abs")),
        (ValueError, lambda: task.specify_input_file("x", "../up")),
        (ValueError, lambda: task.specify_file("x", type=9)),
        (ValueError, lambda: task.specify_cores(float("nan"))),
        (ValueError, lambda: task.specify_environment_variable("a=b", "c")),
        (ValueError, lambda: task.specify_file_piece(__file__, "p", 5, 2)),
        (ValueError, lambda: queue.specify_manager_mode(5)),
        (ValueError, lambda: queue.specify_manager_preferred_connection("by_pigeon")),
        (ValueError, lambda: queue.specify_category_mode("c", 50)),
        (ValueError, lambda: queue.tree_reduce(sum, [1], 1)),
        (AttributeError, lambda: wq.no_such_name),
    ):
        with pytest.raises(error) as raised:
            wrong()
        assert "\n" not in str(raised.value)
