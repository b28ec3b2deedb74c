"""What a queue of the drop-in can be told about itself."""

from __future__ import annotations

import os
from typing import Any, Mapping

from muster import _places

from . import _constants as wq
from . import _passwords
from ._logs import StatsLog, TransactionsLog
from ._refusals import refuse, tell
from ._task import Task, amounts

#: What ``tune`` knows there and has no meaning here, with the reason.
_UNTUNED = {
    "asynchrony-multiplier": "a worker holds as many tasks as keep it busy, whatever the distance",
    "asynchrony-modifier": "a worker holds as many tasks as keep it busy, whatever the distance",
    "min-transfer-timeout": "a transfer goes on as long as its link lives",
    "foreman-transfer-timeout": "a transfer goes on as long as its link lives",
    "transfer-outlier-factor": "a transfer goes on as long as its link lives",
    "default-transfer-rate": "a transfer goes on as long as its link lives",
    "keepalive-interval": "links are watched by QUIC",
    "keepalive-timeout": "links are watched by QUIC",
    "short-timeout": "links are watched by QUIC",
    "long-timeout": "links are watched by QUIC",
    "category-steady-n-tasks": "resources are as they are asked for",
    "force-proportional-resources": "resources are as they are asked for",
    "proportional-resources": "resources are as they are asked for",
    "proportional-whole-tasks": "resources are as they are asked for",
    "resource-submit-multiplier": "resources are as they are asked for",
    "hungry-minimum-factor": "hungry() goes by the tasks that workers hold",
    "monitor-interval": "there is no resource monitor",
    "wait-for-workers": "tasks begin as soon as there is a worker",
    "wait-retrieve-many": "results come as they are there",
    "max-retrievals": "results come as they are there",
    "worker-retrievals": "results come as they are there",
}


class Settings:
    """The part of :class:`WorkQueue` that holds its settings."""

    _name: str | None
    _keys: str
    _stats_log: StatsLog | None
    _transactions: TransactionsLog | None
    _next_id: int

    def __init__(self) -> None:
        self._algorithm = wq.WORK_QUEUE_SCHEDULE_UNSET
        self._fast_abort: dict[str | None, float] = {}
        self._bounds: dict[tuple[str | None, str], dict[str, float]] = {}
        self._concurrent: dict[str, int] = {}
        self._hungry_minimum = 10

    def _reopen(self, what: str) -> None:
        """Begins once more with what has been set."""
        raise NotImplementedError

    def _release(self, category: str) -> None:
        """Sends tasks of a category that were held back."""
        raise NotImplementedError

    # -- who finds it, and what it writes

    def specify_name(self, name: str) -> None:
        """Gives it a name, before the first task."""
        self._name = str(name)
        self._reopen("specify_name")

    def specify_password(self, password: str | bytes) -> None:
        """Serves the workers that have the same password, before the first task."""
        self._keys = _passwords.keys(password)
        self._reopen("specify_password")

    def specify_password_file(self, filename: str) -> bool:
        """Serves the workers that have the same password file, before the first task."""
        with open(filename, "rb") as file:
            self.specify_password(file.read())
        return True

    def specify_priority(self, priority: float) -> None:
        """Accepted with a warning: foremen serve masters in the order of their tasks."""
        if priority:
            tell("specify_priority of a queue", "foremen serve all masters alike; give the tasks priorities")

    def specify_catalog_server(self, hostname: str, port: int) -> None:
        """The catalog in which its name is registered, before the first task."""
        os.environ["MUSTER_CATALOG"] = f"{hostname}:{port}"
        self._reopen("specify_catalog_server")

    def specify_manager_mode(self, mode: int) -> None:
        """Accepted: a queue with a name is in the catalog, if there is one."""
        if mode not in (wq.WORK_QUEUE_MANAGER_MODE_STANDALONE, wq.WORK_QUEUE_MANAGER_MODE_CATALOG):
            raise ValueError(f"{mode!r} is none of WORK_QUEUE_MANAGER_MODE_*")
        if mode == wq.WORK_QUEUE_MANAGER_MODE_CATALOG and not _places.catalog(None):
            tell("WORK_QUEUE_MANAGER_MODE_CATALOG", "name the catalog by MUSTER_CATALOG or specify_catalog_server")

    def specify_master_mode(self, mode: int) -> None:
        """:meth:`specify_manager_mode`, as it was called."""
        self.specify_manager_mode(mode)

    def specify_manager_preferred_connection(self, mode: str) -> None:
        """Accepted with a warning: workers connect to what they are told."""
        if mode not in ("by_ip", "by_hostname", "by_apparent_ip"):
            raise ValueError("mode is by_ip, by_hostname or by_apparent_ip")
        tell("specify_manager_preferred_connection", "workers connect to the address that they are told")

    def specify_master_preferred_connection(self, mode: str) -> None:
        """:meth:`specify_manager_preferred_connection`, as it was called."""
        self.specify_manager_preferred_connection(mode)

    def specify_min_taskid(self, minid: int) -> int:
        """The number of the next task is at least this."""
        self._next_id = max(self._next_id, int(minid))
        return self._next_id

    def specify_num_tasks_left(self, count: int) -> None:
        """Accepted with a warning: nothing is planned by it."""
        tell("specify_num_tasks_left", "nothing is planned by the number of tasks to come")

    def specify_log(self, logfile: str) -> bool:
        """Writes the statistics to a file, a line a second."""
        self._stats_log = StatsLog(logfile)
        return True

    def specify_transactions_log(self, logfile: str) -> bool:
        """Writes what happens to tasks to a file."""
        self._transactions = TransactionsLog(logfile)
        return True

    def enable_monitoring(self, dirname: str | None = None, watchdog: bool = True) -> bool:
        """Accepted with a warning: memory and times are measured in any case, no files are written."""
        tell("enable_monitoring", "memory and times are in resources_measured in any case; no summaries are written")
        return True

    def enable_monitoring_full(self, dirname: str | None = None, watchdog: bool = True) -> bool:
        """Refused: there are no time series."""
        raise refuse("enable_monitoring_full", "there is no resource monitor that takes time series")

    # -- how it schedules

    def specify_algorithm(self, algorithm: int) -> None:
        """How workers are chosen for tasks that do not say: one of ``WORK_QUEUE_SCHEDULE_*``."""
        if algorithm not in wq.ALGORITHMS and algorithm != wq.WORK_QUEUE_SCHEDULE_UNSET:
            raise ValueError(f"{algorithm!r} is none of WORK_QUEUE_SCHEDULE_*")
        self._algorithm = algorithm

    def specify_task_order(self, order: int) -> None:
        """First in, first out; the contrary is refused."""
        if order == wq.WORK_QUEUE_TASK_ORDER_LIFO:
            raise refuse("WORK_QUEUE_TASK_ORDER_LIFO", "tasks of a priority go in order; use specify_priority")
        if order != wq.WORK_QUEUE_TASK_ORDER_FIFO:
            raise ValueError(f"{order!r} is none of WORK_QUEUE_TASK_ORDER_*")

    def activate_fast_abort(self, multiplier: float) -> int:
        """Gives up attempts that run longer than this multiple of their category's mean; below or at 0: none."""
        self._fast_abort[None] = float(multiplier)
        return 0

    def activate_fast_abort_category(self, name: str, multiplier: float) -> int:
        """The same for one category; below 0: as for all."""
        self._fast_abort[str(name)] = float(multiplier)
        return 0

    def specify_category_mode(self, category: str, mode: int) -> int:
        """Accepted; with a warning unless it is ``FIXED``: resources are as they are asked for."""
        if mode not in range(9):
            raise ValueError(f"{mode!r} is none of WORK_QUEUE_ALLOCATION_MODE_*")
        if mode != wq.WORK_QUEUE_ALLOCATION_MODE_FIXED:
            tell("specify_category_mode", "resources are as they are asked for; nothing is tried with less first")
        return 1

    def specify_category_autolabel_resource(self, category: str, resource: str, autolabel: bool) -> int:
        """Refused: resources are as they are asked for."""
        raise refuse("specify_category_autolabel_resource", "resources are as they are asked for")

    def initialize_categories(self, filename: str, rm: Any) -> None:
        """Refused: there are no summaries of a resource monitor."""
        raise refuse("initialize_categories", "there are no summaries of a resource monitor to read")

    def specify_max_resources(self, rmd: Mapping[str, float]) -> None:
        """What a task occupies that does not say, and the most that one may."""
        self._bounds[None, "max"] = amounts(rmd)

    def specify_min_resources(self, rmd: Mapping[str, float]) -> None:
        """The least that a task occupies."""
        self._bounds[None, "min"] = amounts(rmd)

    def specify_category_max_resources(self, category: str, rmd: Mapping[str, float]) -> None:
        """What a task of the category occupies that does not say, and the most that one may."""
        self._bounds[category, "max"] = amounts(rmd)

    def specify_category_min_resources(self, category: str, rmd: Mapping[str, float]) -> None:
        """The least that a task of the category occupies."""
        self._bounds[category, "min"] = amounts(rmd)

    def specify_category_first_allocation_guess(self, category: str, rmd: Mapping[str, float]) -> None:
        """What a task of the category occupies that does not say."""
        self._bounds[category, "first"] = amounts(rmd)

    def specify_category_max_concurrent(self, category: str, max_concurrent: int) -> None:
        """Tasks of the category that are with workers or wait for one; others wait here. Below 0: any number."""
        self._concurrent[category] = int(max_concurrent)
        self._release(category)

    def specify_draining_by_hostname(self, hostname: str, drain_mode: bool = True) -> int:
        """Refused: ask the worker itself to leave, by SIGTERM."""
        raise refuse("specify_draining_by_hostname", "end the worker by SIGTERM; it gives its tasks back")

    def block_host(self, host: str) -> None:
        """Refused: there are no lists of blocked hosts yet."""
        raise refuse("block_host", "there are no lists of blocked hosts yet; end the worker there")

    def blacklist(self, host: str) -> None:
        """:meth:`block_host`, as it was called."""
        self.block_host(host)

    def block_host_with_timeout(self, host: str, timeout: float) -> None:
        """Refused, as :meth:`block_host`."""
        self.block_host(host)

    def blacklist_with_timeout(self, host: str, timeout: float) -> None:
        """:meth:`block_host_with_timeout`, as it was called."""
        self.block_host_with_timeout(host, timeout)

    def unblock_host(self, host: str | None = None) -> None:
        """Does nothing: no host is blocked."""

    def blacklist_clear(self, host: str | None = None) -> None:
        """:meth:`unblock_host`, as it was called."""

    def invalidate_cache_file(self, local_name: str) -> None:
        """Nothing is to be done: a file that has changed has another name in every cache."""

    def specify_keepalive_interval(self, interval: float) -> None:
        """Accepted with a warning: links are watched by QUIC."""
        tell("specify_keepalive_interval", "links are watched by QUIC")

    def specify_keepalive_timeout(self, timeout: float) -> None:
        """Accepted with a warning: links are watched by QUIC."""
        tell("specify_keepalive_timeout", "links are watched by QUIC")

    def tune(self, name: str, value: float) -> int:
        """Changes a parameter; -1 if there is none of this name."""
        if name == "fast-abort-multiplier":
            return self.activate_fast_abort(value)
        if name == "hungry-minimum":
            self._hungry_minimum = max(0, int(value))
            return 0
        if name in _UNTUNED:
            tell(f"tune({name!r})", _UNTUNED[name])
            return 0
        return -1

    # -- what it means for a task

    def _choice(self, task: Task) -> str | None:
        """The word for how a worker is chosen for ``task``."""
        algorithm = task._algorithm or self._algorithm
        if task._preferred and algorithm == wq.WORK_QUEUE_SCHEDULE_UNSET:
            return "hosts"
        return wq.ALGORITHMS.get(algorithm)

    def _abort(self, category: str) -> float | None:
        """When an attempt of the category is given up, as a multiple of its mean."""
        own = self._fast_abort.get(category, -1.0)
        multiplier = own if own >= 0 else self._fast_abort.get(None, 0.0)
        return max(1.0, multiplier) if multiplier > 0 else None

    def _resources(self, task: Task) -> dict[str, float]:
        """What a task occupies: what it says, or its category, within the bounds of both."""
        asked = {name: value for name, value in task._resources.items() if value >= 0}
        for scope in (task.category, None):
            for kind in ("first", "max"):
                for name, value in self._bounds.get((scope, kind), {}).items():
                    asked.setdefault(name, value)
        for scope in (None, task.category):
            for name, value in self._bounds.get((scope, "min"), {}).items():
                asked[name] = max(asked.get(name, 0), value)
        for scope in (None, task.category):
            for name, value in self._bounds.get((scope, "max"), {}).items():
                asked[name] = min(asked[name], value)
        if "cores" not in asked:
            # What asks for nothing, or for other things, has a core; what asks for gpus alone has none.
            asked["cores"] = 0 if asked.get("gpus") else 1
        return asked
