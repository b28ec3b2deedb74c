"""Keeps workers running on this host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from typing import Any

from muster import _binary, _places
from muster._core import MusterError

from . import _passwords
from ._refusals import refuse, tell

#: Options that a running factory takes.
_WHILE_RUNNING = frozenset(
    "autosize capacity cores disk factory-timeout foremen-name manager-name max-workers memory min-workers "
    "tasks-per-worker timeout workers-per-cycle condor-requirements".replace("-", "_").split()
)
#: All options, and their defaults.
_OPTIONS: dict[str, Any] = {
    "autosize": None, "capacity": None, "cores": None, "disk": None, "factory_timeout": None, "foremen_name": None,
    "gpus": None, "manager_name": None, "max_workers": None, "memory": None, "min_workers": None,
    "tasks_per_worker": None, "timeout": None, "workers_per_cycle": None, "amazon_config": None, "batch_options": None,
    "catalog": None, "condor_requirements": None, "config_file": None, "debug": None, "debug_file": None,
    "debug_file_size": None, "env": None, "extra_options": None, "k8s_image": None, "k8s_worker_image": None,
    "password": None, "python_env": None, "python_package": None, "run_factory_as_manager": None, "runos": None,
    "scratch_dir": None, "ssl": None, "wrapper": None, "wrapper_input": None, "worker_binary": None,
}  # fmt: skip
#: Those that have a meaning here.
_MEANT = frozenset(
    "cores disk gpus manager_name max_workers memory min_workers password scratch_dir timeout factory_timeout "
    "workers_per_cycle catalog debug debug_file".split()
)
#: Seconds between two looks at how many workers there should be.
_PERIOD = 1.0


class Factory:
    """Keeps between ``min_workers`` and ``max_workers`` workers alive on this host, as many as there are tasks for.

    :param batch_type: ``"local"``; workers on other systems are started by their own jobs.
    :param manager: The :class:`WorkQueue` that they work for; or
    :param manager_host_port: its address, ``HOST:PORT``; or
    :param manager_name: its name.
    :param log_file: Where the workers' messages go.
    """

    def __init__(
        self,
        batch_type: str = "local",
        manager: Any = None,
        manager_host_port: str | None = None,
        manager_name: str | None = None,
        factory_binary: str | None = None,
        worker_binary: str | None = None,
        log_file: str = os.devnull,
    ) -> None:
        if batch_type != "local":
            raise refuse(
                f"a factory of type {batch_type!r}",
                "start `muster worker` or work_queue_worker in the jobs of your batch system",
            )
        if manager is None and manager_host_port is None and manager_name is None:
            raise ValueError("Either manager, manager_name, or manager_host_port must be specified")
        if factory_binary is not None:
            tell("factory_binary", "the factory is this program itself")
        options = dict(_OPTIONS)
        options.update(max_workers=10, min_workers=5, workers_per_cycle=5, timeout=300)
        options.update(manager_name=manager_name, worker_binary=worker_binary)
        self.__dict__["_options"] = options
        self._running: threading.Thread | None = None
        self._manager = manager
        self._address = manager_host_port
        self._log_file = log_file
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def __getattr__(self, name: str) -> Any:
        options = self.__dict__.get("_options", {})
        if name in options:
            return options[name]
        raise AttributeError(f"{name} is no option of a factory")

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            self.__dict__[name] = value
            return
        if name not in _OPTIONS:
            raise AttributeError(f"{name} is no option of a factory")
        if self.__dict__.get("_running") is not None and name not in _WHILE_RUNNING:
            raise AttributeError(f"{name} cannot be changed while the factory runs")
        if name not in _MEANT:
            tell(f"Factory.{name}", "it has no meaning for workers on this host")
        self._options[name] = value

    def specify_environment(self, env: str) -> None:
        """Refused: workers use the host's own programs."""
        raise refuse("specify_environment of a factory", "workers use the host's own programs and python3")

    def specify_package(self, env: str) -> None:
        """:meth:`specify_environment`, as it was called."""
        self.specify_environment(env)

    def start(self) -> None:
        """Begins to keep workers."""
        if self._running is not None:
            raise RuntimeError("Factory was already started")
        self._scratch = tempfile.TemporaryDirectory(prefix="muster-factory-", dir=self.scratch_dir)
        self._ending = threading.Event()
        self._log = open(self.debug_file or self._log_file, "ab")
        started = threading.Event()
        thread = threading.Thread(target=self._keep, args=(started,), name="muster-factory", daemon=True)
        self._running = thread
        thread.start()
        started.wait()

    def stop(self) -> None:
        """Ends the workers."""
        if self._running is None:
            raise RuntimeError("Factory not yet started")
        self._ending.set()
        self._running.join()
        self._running = None
        self._log.close()
        self._scratch.cleanup()

    def __enter__(self) -> Factory:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def __del__(self) -> None:
        if self.__dict__.get("_running") is not None:
            self._ending.set()

    # -- how

    def _keep(self, started: threading.Event) -> None:
        """The thread that starts workers; they end with it, and so with this process."""
        made = 0
        while not self._ending.is_set():
            self._workers = {name: worker for name, worker in self._workers.items() if worker.poll() is None}
            try:
                wanted = self._wanted()
                for _ in range(min(wanted - len(self._workers), int(self.workers_per_cycle or wanted))):
                    made += 1
                    self._workers[f"factory-{made}"] = self._start(made)
                surplus = len(self._workers) - wanted
                for name in [name for name in self._idle() if surplus > 0][: max(0, surplus)]:
                    self._workers[name].send_signal(signal.SIGTERM)
            except (OSError, ValueError, KeyError, MusterError, subprocess.SubprocessError) as error:
                # The manager is not there yet, or not any more.
                self._log.write(f"factory: {error}\n".encode())
                self._log.flush()
            started.set()
            self._ending.wait(_PERIOD)
        for worker in self._workers.values():
            worker.send_signal(signal.SIGTERM)
        for worker in self._workers.values():
            try:
                worker.wait(timeout=10)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self._workers = {}

    def _idle(self) -> list[str]:
        """Workers of ours that have nothing to do, so that none is ended with a task."""
        links = self._status()["links"]
        return [link["peer"] for link in links if link["peer"] in self._workers and not link["leased"]]

    def _wanted(self) -> int:
        least, most = int(self.min_workers or 0), int(self.max_workers or 0)
        return max(least, min(most, self._tasks()))

    def _tasks(self) -> int:
        """Tasks that there are for workers."""
        if self._manager is not None:
            return len(self._manager._flying)
        tasks = self._status()["tasks"]
        return int(tasks["waiting"]) + int(tasks["leased"])

    def _status(self) -> dict[str, Any]:
        """How things stand at the manager.

        :raises ValueError: if it cannot be asked.
        """
        told: dict[str, Any]
        if self._manager is not None:
            told = json.loads(self._manager._queue._core.status())
            return told
        words = [_binary.find(), "status", "--json", "--keys", self._keys(), *self._master()]
        asked = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        if asked.returncode != 0:
            raise ValueError(asked.stderr.strip())
        told = json.loads(asked.stdout)
        return told

    def _keys(self) -> str:
        if self._manager is not None:
            return str(self._manager._keys)
        if self.password:
            with open(self.password, "rb") as file:
                return _passwords.keys(file.read())
        return str(_places.keys())

    def _master(self) -> list[str]:
        if self._address is not None:
            return ["--master", self._address]
        return ["--project", str(self.manager_name)]

    def _superior(self) -> str:
        if self._manager is not None:
            return f"127.0.0.1:{self._manager.port}"
        if self._address is not None:
            return str(self._address)
        return _places.project(str(self.manager_name)).read_text().strip().replace("0.0.0.0:", "127.0.0.1:")

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        words = [_binary.find(), "worker", self._superior(), "--keys", self._keys(), "--with-parent"]
        words += ["--state-dir", os.path.join(self._scratch.name, str(number)), "--name", f"factory-{number}"]
        words += ["--cores", str(int(self.cores or 1))]
        for option, value in (("--memory", self.memory), ("--disk", self.disk)):
            if value:
                words += [option, f"{int(value)}MB"]
        if self.gpus:
            words += ["--gpus", str(int(self.gpus))]
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log, start_new_session=True
        )
