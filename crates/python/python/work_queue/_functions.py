"""The functions of that system's C library, as its scripts of ``from work_queue import *`` use them.

Each is the method of the same meaning: ``work_queue_submit(q, t)`` is ``q.submit(t)``.
"""

from __future__ import annotations

from typing import Any, Callable

from . import _constants as wq
from ._queue import WorkQueue
from ._stats import Stats
from ._task import Task


def work_queue_create(port: int) -> WorkQueue | None:
    """A queue; ``None`` if there can be none."""
    try:
        return WorkQueue(port)
    except Exception:
        return None


def work_queue_ssl_create(port: int, key: str, cert: str) -> WorkQueue | None:
    """A queue: every link has TLS in any case."""
    return work_queue_create(port)


def work_queue_delete(q: WorkQueue) -> None:
    """Ends a queue."""
    q.delete()


def work_queue_port(q: WorkQueue) -> int:
    """Its port."""
    return q.port


def work_queue_name(q: WorkQueue) -> str | None:
    """Its name."""
    return q.name


def work_queue_task_create(command: str) -> Task:
    """A task."""
    return Task(command)


def work_queue_task_clone(t: Task) -> Task:
    """A new task like it."""
    return t.clone()


def work_queue_task_delete(t: Task) -> None:
    """Nothing is to be done."""


def work_queue_cancel_all_tasks(q: WorkQueue) -> list[Task]:
    """Takes all tasks out of the queue."""
    cancelled = [q.cancel_by_taskid(task) for task in list(q._flying)]
    return [task for task in cancelled if task is not None]


def work_queue_result_str(result: int) -> str:
    """The name of a result."""
    return wq.RESULT_NAMES.get(result, "UNKNOWN")


def work_queue_stats() -> Stats:
    """Statistics to be filled by ``work_queue_get_stats``."""
    return Stats({})


def _fill(source: str) -> Callable[..., None]:
    def fill(q: WorkQueue, *args: Any) -> None:
        *category, stats = args
        found = q.stats_category(*category) if source == "stats_category" else getattr(q, source)
        stats.__dict__.update(found.__dict__)

    fill.__doc__ = f"Fills the last argument with ``{source}``."
    return fill


def _method(name: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, name)(*args, **kwargs)

    call.__doc__ = f"The method ``{name}``."
    return call


work_queue_get_stats = _fill("stats")
work_queue_get_stats_hierarchy = _fill("stats_hierarchy")
work_queue_get_stats_category = _fill("stats_category")

#: Methods of a queue that have a function, beside those whose names begin with ``specify_``.
_OF_QUEUES = (
    "submit wait wait_for_tag hungry empty cancel_by_taskid cancel_by_tasktag cancel_by_category block_host "
    "block_host_with_timeout unblock_host tune status activate_fast_abort activate_fast_abort_category task_state "
    "enable_monitoring enable_monitoring_full invalidate_cache_file shutdown_workers estimate_capacity workers_summary"
).split()

for _name in [*_OF_QUEUES, *(name for name in dir(WorkQueue) if name.startswith("specify_"))]:
    globals()[f"work_queue_{_name}"] = _method(_name)
for _name in (name for name in dir(Task) if name.startswith("specify_")):
    globals()[f"work_queue_task_{_name}"] = _method(_name)
globals()["work_queue_unblock_all"] = _method("unblock_host")

__all__ = [name for name in globals() if name.startswith("work_queue_")]
