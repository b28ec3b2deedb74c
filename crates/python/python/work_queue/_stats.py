"""Statistics of the drop-in."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from ._queue import WorkQueue

#: The fields of that system's structure, in its order.
FIELDS = (
    "workers_connected workers_init workers_idle workers_busy workers_able "
    "workers_joined workers_removed workers_released workers_idled_out workers_fast_aborted workers_blocked "
    "workers_lost tasks_waiting tasks_on_workers tasks_running tasks_with_results "
    "tasks_submitted tasks_dispatched tasks_done tasks_failed tasks_cancelled tasks_exhausted_attempts "
    "time_when_started time_send time_receive time_send_good time_receive_good time_status_msgs time_internal "
    "time_polling time_application time_workers_execute time_workers_execute_good time_workers_execute_exhaustion "
    "bytes_sent bytes_received bandwidth capacity_tasks capacity_cores capacity_memory capacity_disk capacity_gpus "
    "capacity_instantaneous capacity_weighted total_cores total_memory total_disk total_gpus "
    "committed_cores committed_memory committed_disk committed_gpus max_cores max_memory max_disk max_gpus "
    "min_cores min_memory min_disk min_gpus manager_load"
).split()

#: Older names and what they are called now.
ALIASES = {
    "total_workers_connected": "workers_connected",
    "total_workers_joined": "workers_joined",
    "total_workers_removed": "workers_removed",
    "total_workers_lost": "workers_lost",
    "total_workers_idled_out": "workers_idled_out",
    "total_workers_fast_aborted": "workers_fast_aborted",
    "workers_blacklisted": "workers_blocked",
    "workers_slow": "workers_fast_aborted",
    "workers_ready": "workers_idle",
    "workers_full": "workers_busy",
    "total_worker_slots": "capacity_tasks",
    "avg_capacity": "capacity_weighted",
    "capacity": "capacity_tasks",
    "tasks_complete": "tasks_with_results",
    "total_tasks_dispatched": "tasks_dispatched",
    "total_tasks_complete": "tasks_done",
    "total_tasks_failed": "tasks_failed",
    "total_tasks_cancelled": "tasks_cancelled",
    "total_exhausted_attempts": "tasks_exhausted_attempts",
    "start_time": "time_when_started",
    "total_send_time": "time_send",
    "total_receive_time": "time_receive",
    "total_good_transfer_time": "time_send_good",
    "total_execute_time": "time_workers_execute",
    "total_good_execute_time": "time_workers_execute_good",
    "total_exhausted_execute_time": "time_workers_execute_exhaustion",
    "total_bytes_sent": "bytes_sent",
    "total_bytes_received": "bytes_received",
}


class Stats:
    """The fields of that system's statistics. Those that nobody measures here are 0: times of sending and receiving,
    bandwidth, memory, disk and gpus of workers."""

    def __init__(self, known: Mapping[str, float]) -> None:
        for name in FIELDS:
            setattr(self, name, known.get(name, 0))
        for old, name in ALIASES.items():
            setattr(self, old, getattr(self, name))
        self.port = known.get("port", 0)
        self.priority = 0
        execute = self.time_workers_execute
        self.efficiency = self.time_workers_execute_good / execute if execute else 0.0
        slots = self.capacity_tasks
        self.idle_percentage = 1 - self.tasks_running / slots if slots else 0.0

    def __getattr__(self, name: str) -> float:
        # For readers of types: all fields are numbers.
        raise AttributeError(f"statistics have no field {name!r}")

    def _as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={getattr(self, name)}" for name in FIELDS if getattr(self, name))
        return f"<Stats {told}>"


def make(queue: WorkQueue, hierarchy: bool) -> Stats:
    """How things stand at the master of ``queue``; with ``hierarchy``, below its foremen as well."""
    status = json.loads(queue._queue._core.status())
    tasks, losses = status["tasks"], status["losses"]
    links = [link for link in status["links"] if link["below"] and link["role"] in ("worker", "foreman")]
    busy = sum(link["leased"] > 0 for link in links)
    connected, idle = len(links), len(links) - busy
    slots = sum(link["slots"] for link in links)
    if hierarchy:
        direct = [link for link in links if link["role"] == "worker"]
        foremen = {site["foreman"]: site for site in status["sites"]}
        # A foreman counts what is below it at any depth, other foremen included.
        below = sum(foremen[link["peer"]]["subordinates"] for link in links if link["peer"] in foremen)
        inner = len(foremen) - sum(link["role"] == "foreman" for link in links)
        connected = len(direct) + below - max(0, inner)
        busy = min(connected, tasks["leased"])
        idle = connected - busy
    sizes = [link["slots"] for link in links]
    held = sum(len(waiting) for waiting in queue._held.values())
    done = len(queue._done)
    known = dict(queue._totals)
    known.update(
        workers_connected=connected,
        workers_idle=idle,
        workers_busy=busy,
        workers_able=connected,
        workers_joined=connected + losses.get("evicted", 0) + losses.get("link", 0),
        workers_removed=losses.get("evicted", 0) + losses.get("link", 0),
        workers_lost=losses.get("evicted", 0) + losses.get("link", 0),
        workers_fast_aborted=losses.get("fast_abort", 0),
        tasks_waiting=tasks["waiting"] + held,
        tasks_on_workers=tasks["leased"],
        tasks_running=tasks["leased"],
        tasks_with_results=done,
        tasks_dispatched=tasks["attempts"],
        time_when_started=queue._begun_us,
        time_application=round(time.time() * 1e6) - queue._begun_us,
        bytes_sent=sum(link["sent_bytes"] for link in links),
        bytes_received=sum(link["received_bytes"] for link in links),
        capacity_tasks=slots,
        capacity_cores=slots,
        capacity_instantaneous=slots,
        capacity_weighted=slots,
        total_cores=slots,
        committed_cores=min(slots, tasks["leased"]),
        max_cores=max(sizes, default=0),
        min_cores=min(sizes, default=0),
        manager_load=0,
        port=queue.port,
    )
    return Stats(known)
