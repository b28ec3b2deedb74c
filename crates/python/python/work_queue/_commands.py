"""``work_queue_worker``, ``work_queue_status`` and ``work_queue_factory``, for launchers that call them by name."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Sequence

from muster import _binary, _places

from . import _passwords
from ._factory import Factory
from ._refusals import Unsupported

#: Options of workers that have no meaning here, with whether they take a value and why they are accepted.
_IGNORED = {
    "-b": True, "--backoff": True, "-i": True, "--min-backoff": True, "--max-backoff": True, "-w": True, "--tcp-window-size": True,
    "-z": True, "--disk-threshold": True, "--memory-threshold": True, "--arch": True, "-A": True, "--os": True, "-O": True,
    "--tcp-port": True, "--feature": True, "--volatility": True, "--connection-mode": True, "--tls-sni": True,
    "--wall-time": True, "--parent-death": False, "--single-shot": False, "--disable-symlinks": False, "--ssl": False,
    "--idle-timeout-disable": False, "--keep-files": False, "--docker": True, "--doc": True, "--catalog-update": False,
}  # fmt: skip


def worker(arguments: Sequence[str] | None = None) -> None:
    """Becomes ``muster worker``, with the options of ``work_queue_worker``."""
    parser = _parser("work_queue_worker", "A worker; it is muster worker under the name that launchers know.")
    parser.add_argument("master", nargs="*", metavar="HOST PORT", help="host and port of the manager, or HOST:PORT")
    parser.add_argument("-M", "-N", "--manager-name", "--master-name", "--project-name", dest="name")
    parser.add_argument("-a", "--advertise", action="store_true", help="accepted; names are found in any case")
    parser.add_argument("-C", "--catalog", help="HOST:PORT of the catalog")
    parser.add_argument("-P", "--password", metavar="FILE", help="the file with the password of the manager")
    parser.add_argument("-t", "--idle-timeout", "--timeout", type=float, default=900, metavar="SECONDS")
    parser.add_argument("--cores", type=int, metavar="N", help="cores to use; 0: all (default 1)", default=1)
    parser.add_argument("--memory", type=int, metavar="MB")
    parser.add_argument("--disk", type=int, metavar="MB")
    parser.add_argument("--gpus", type=int, metavar="N")
    parser.add_argument("-s", "--workdir", metavar="DIR", help="where it keeps what it works with")
    parser.add_argument("-d", "--debug", metavar="FLAGS", action="append")
    parser.add_argument("-o", "--debug-file", metavar="FILE")
    parser.add_argument("-f", "--foreman", "--foreman-name", metavar="NAME", help="refused: use muster foreman")
    _ignore(parser)
    given = parser.parse_args(arguments)
    if given.foreman:
        parser.error("a foreman is started by: muster foreman --superior HOST:PORT --site NAME")
    words = ["worker", *_superior(parser, given)]
    if given.cores:
        words += ["--cores", str(given.cores)]
    for option, value, unit in (("memory", given.memory, "MB"), ("disk", given.disk, "MB"), ("gpus", given.gpus, "")):
        if value is not None:
            words += [f"--{option}", f"{value}{unit}"]
    if given.password:
        words += ["--keys", _keys(parser, given.password)]
    # Several on one host are the rule there, so each has a directory of its own.
    with tempfile.TemporaryDirectory(prefix="work-queue-worker-", dir=given.workdir) as state:
        words += ["--state-dir", state]
        sys.exit(_watched(words, given))


def status(arguments: Sequence[str] | None = None) -> None:
    """Prints how things stand, in the tables of ``work_queue_status``."""
    parser = _parser("work_queue_status", "How things stand at managers.")
    parser.add_argument("master", nargs="*", metavar="HOST PORT", help="host and port of the manager")
    parser.add_argument("-Q", "--statistics", dest="what", action="store_const", const="queue")
    parser.add_argument("-W", "--workers", dest="what", action="store_const", const="workers")
    parser.add_argument("-T", "--tasks", dest="what", action="store_const", const="tasks")
    parser.add_argument("-A", "--able-workers", "--categories", dest="what", action="store_const", const="categories")
    parser.add_argument("-R", "--resources", dest="what", action="store_const", const="resources")
    parser.add_argument("--capacity", dest="what", action="store_const", const="capacity")
    parser.add_argument("-l", "--verbose", dest="json", action="store_true", help="print JSON")
    parser.add_argument("-M", "-N", "--manager-name", "--project-name", dest="name")
    parser.add_argument("-C", "--catalog", help="HOST:PORT of the catalog")
    parser.add_argument("-P", "--password", metavar="FILE")
    parser.add_argument("-t", "--timeout", type=float, default=30)
    parser.add_argument("-d", "--debug")
    parser.add_argument("-o", "--debug-file")
    given = parser.parse_args(arguments)
    if given.what in ("tasks", "categories"):
        parser.error("the tasks of a master are told by: muster explain ID, and muster status")
    keys = _keys(parser, given.password) if given.password else str(_places.keys())
    rows = []
    for name, master in _masters(parser, given):
        told = _ask(master, keys, given.timeout)
        if told is None:
            print(f"work_queue_status: {name}: it cannot be reached", file=sys.stderr)
        else:
            rows.append((name, master[-1], told))
    if given.json:
        print(json.dumps([{"name": name, "address": address, **told} for name, address, told in rows], indent=1))
    elif given.what == "workers":
        _print_workers(rows)
    else:
        _print_queues(rows)
    sys.exit(0 if rows or not given.master else 1)


def factory(arguments: Sequence[str] | None = None) -> None:
    """Keeps workers on this host until it is told to leave."""
    parser = _parser("work_queue_factory", "Keeps workers running on this host.")
    parser.add_argument("master", nargs="*", metavar="HOST PORT", help="host and port of the manager")
    parser.add_argument("-T", "--batch-type", default="local")
    parser.add_argument("-M", "--manager-name", "--master-name", dest="name")
    parser.add_argument("-w", "--min-workers", type=int, default=5)
    parser.add_argument("-W", "--max-workers", type=int, default=100)
    parser.add_argument("--workers-per-cycle", type=int, default=5)
    parser.add_argument("-t", "--timeout", type=float, default=300)
    parser.add_argument("--factory-timeout", type=float, help="end after so many seconds without tasks")
    parser.add_argument("-P", "--password", metavar="FILE")
    parser.add_argument("-C", "--config-file", metavar="FILE", help="JSON with the same options; read at the start")
    parser.add_argument("-S", "--scratch-dir", metavar="DIR")
    for option in ("cores", "memory", "disk", "gpus"):
        parser.add_argument(f"--{option}", type=int)
    parser.add_argument("-d", "--debug")
    parser.add_argument("-o", "--debug-file")
    given = parser.parse_args(arguments)
    options = _config(parser, given.config_file)
    address = _address(parser, given.master) if given.master else None
    try:
        made = Factory(given.batch_type, manager_host_port=address, manager_name=given.name)
    except (Unsupported, ValueError) as error:
        parser.error(str(error))
    for option in ("min_workers", "max_workers", "workers_per_cycle", "timeout", "cores", "memory", "disk", "gpus"):
        value = options.get(option, getattr(given, option))
        if value is not None:
            setattr(made, option, value)
    if given.password:
        _keys(parser, given.password)
        made.password = given.password
    for option in ("scratch_dir", "debug_file"):
        if getattr(given, option):
            setattr(made, option, getattr(given, option))
    _until_told(made, given.factory_timeout)


def _until_told(made: Factory, patience: float | None) -> None:
    def leave(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    try:
        with made:
            busy = time.monotonic()
            while patience is None or time.monotonic() - busy < patience:
                if patience is not None and _has_tasks(made):
                    busy = time.monotonic()
                made._ending.wait(1.0)
    except KeyboardInterrupt:
        pass


def _has_tasks(made: Factory) -> bool:
    try:
        return made._tasks() > 0
    except (OSError, ValueError, subprocess.TimeoutExpired):
        # There is no manager.
        return False


def _parser(name: str, text: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=text, allow_abbrev=False)
    parser.add_argument("-v", "--version", action="version", version=f"{name} of Muster")
    return parser


def _ignore(parser: argparse.ArgumentParser) -> None:
    for option, takes in _IGNORED.items():
        action: Any = {"metavar": "VALUE"} if takes else {"action": "store_true"}
        parser.add_argument(option, dest="ignored_" + option.strip("-").replace("-", "_"), help=argparse.SUPPRESS, **action)


def _address(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    if len(words) == 2 and words[1].isdigit():
        return f"{words[0]}:{words[1]}"
    if len(words) == 1 and ":" in words[0]:
        return words[0]
    parser.error("give HOST PORT, or HOST:PORT")


def _superior(parser: argparse.ArgumentParser, given: argparse.Namespace) -> list[str]:
    if given.master:
        return [_address(parser, given.master)]
    if not given.name:
        parser.error("give HOST PORT, or the manager's name by -M")
    catalog = _places.catalog(given.catalog)
    if catalog:
        return ["--catalog", ",".join(catalog), "--project", given.name]
    try:
        return [_places.project(given.name).read_text().strip().replace("0.0.0.0:", "127.0.0.1:")]
    except FileNotFoundError:
        parser.error(f"nothing of the name {given.name} runs on this host; name the catalog by -C or MUSTER_CATALOG")


def _keys(parser: argparse.ArgumentParser, path: str) -> str:
    try:
        with open(path, "rb") as file:
            return _passwords.keys(file.read())
    except (OSError, ValueError) as error:
        parser.error(f"the password file cannot be used: {error}")


def _watched(words: list[str], given: argparse.Namespace) -> int:
    """Runs a worker until it ends, is told to, or has had no tasks for the timeout."""
    log = open(given.debug_file, "ab") if given.debug_file else None
    words = [_binary.find(), *words, "--with-parent"]
    child = subprocess.Popen(words, stderr=log, process_group=0) if sys.version_info >= (3, 11) else subprocess.Popen(
        words, stderr=log, start_new_session=True
    )
    for told in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(told, lambda *_: child.send_signal(signal.SIGTERM))
    idle = _Idle(child.pid, given.idle_timeout)
    while True:
        try:
            return child.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            if idle.is_over():
                child.send_signal(signal.SIGTERM)


class _Idle:
    """Whether a worker has run nothing for too long: no process that its mother's wardens have started."""

    def __init__(self, pid: int, patience: float) -> None:
        self._pid, self._patience, self._since = pid, patience, time.monotonic()

    def is_over(self) -> bool:
        """Looks; says whether it is time to leave."""
        if self._patience <= 0:
            return False
        wardens = [warden for mother in _children(self._pid) for warden in _children(mother)]
        if any(_children(warden) for warden in wardens):
            self._since = time.monotonic()
        return time.monotonic() - self._since > self._patience


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found.extend(int(child) for child in file.read().split())
    except OSError:
        # It has ended meanwhile.
        pass
    return found


def _masters(parser: argparse.ArgumentParser, given: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """Names, and the words by which each is asked."""
    if given.master:
        address = _address(parser, given.master)
        return [(address, ["--master", address])]
    if given.name:
        return [(given.name, ["--project", given.name])]
    directory = _places.state() / "projects"
    names = sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []
    return [(name, ["--project", name]) for name in names]


def _ask(master: list[str], keys: str, timeout: float) -> dict[str, Any] | None:
    words = [_binary.find(), "status", "--json", "--keys", keys, *master]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return None
    if told.returncode != 0:
        return None
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def _print_queues(rows: list[tuple[str, str, dict[str, Any]]]) -> None:
    print(f"{'PROJECT':<24} {'HOST':<22} {'WAITING':>8} {'RUNNING':>8} {'COMPLETE':>9} {'WORKERS':>8}")
    for name, address, told in rows:
        tasks = told["tasks"]
        workers = sum(link["role"] in ("worker", "foreman") for link in told["links"])
        counts = f"{tasks['waiting']:>8} {tasks['leased']:>8} {tasks['accounted']:>9} {workers:>8}"
        print(f"{name:<24} {address:<22} {counts}")


def _print_workers(rows: list[tuple[str, str, dict[str, Any]]]) -> None:
    print(f"{'HOST':<32} {'SITE':<16} {'RUNNING':>8} {'SLOTS':>6}")
    for _, _, told in rows:
        for link in told["links"]:
            if link["role"] in ("worker", "foreman"):
                print(f"{link['peer']:<32} {link['site']:<16} {link.get('leased', 0):>8} {link.get('slots', 0):>6}")


def _config(parser: argparse.ArgumentParser, path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError) as error:
        parser.error(f"the configuration cannot be read: {error}")
    return {name.replace("-", "_"): value for name, value in told.items()}
