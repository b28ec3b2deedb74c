"""What the Python packages take, beside ``muster bench dispatch`` and beside others that run Python functions.

Run by ``cargo xtask compare --python``. Rounds in which everybody has a turn; medians are printed, and what is not
installed is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Callable, Iterator

import muster
import work_queue

#: Processes that run functions.
WORKERS = 2
QUEUED = 50_000


def noop(value: int) -> int:
    """A function that does nothing."""
    return value


def dispatch(tasks: int) -> float:
    """Programs a second, as the command measures it: through a foreman to one worker."""
    words = [os.environ["MUSTER_BIN"], "bench", "dispatch", "--tasks", str(tasks), "--json"]
    told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return float(told["tasks_per_s"])


def programs(tasks: int) -> float:
    """Programs a second, submitted and waited for in Python."""
    with muster.Federation.local(sites=1, workers=1) as federation:
        return rate(tasks, lambda: federation.submit(["/bin/true"]), federation.wait)


def drop_in(tasks: int) -> float:
    """The same by the module ``work_queue``."""
    with work_queue.WorkQueue(0) as queue:
        factory = work_queue.Factory(manager=queue)
        factory.min_workers = factory.max_workers = 1
        factory.cores = os.cpu_count()
        with factory:
            return rate(tasks, lambda: queue.submit(work_queue.Task("/bin/true")), queue.wait)


def rate(tasks: int, submit: Callable[[], object], wait: Callable[[], object]) -> float:
    """Tasks a second, after a hundred that are not counted."""
    for count in (100, tasks):
        begun = time.perf_counter()
        for _ in range(count):
            submit()
        back = 0
        while back < count:
            back += wait() is not None
    return tasks / (time.perf_counter() - begun)


def queued(_: int) -> float:
    """Seconds until 50 000 tasks are submitted and durable, while nobody works."""
    with muster.Queue() as queue:
        begun = time.perf_counter()
        for _ in range(QUEUED):
            queue.submit(["/bin/true"])
        queue.flush()
        return time.perf_counter() - begun


def calls(executor: object, count: int) -> float:
    """Calls a second: each submitted by itself, and its value looked at."""
    submit = executor.submit  # type: ignore[attr-defined]
    for amount in (100, count):
        begun = time.perf_counter()
        futures = [submit(noop, value) for value in range(amount)]
        values = [future.result() for future in futures]
        took = time.perf_counter() - begun
        assert values == list(range(amount))
    return count / took


def own(count: int) -> float:
    with muster.Executor(workers=WORKERS) as executor:
        return calls(executor, count)


def pool(count: int) -> float:
    with ProcessPoolExecutor(WORKERS) as executor:
        return calls(executor, count)


def dask(count: int) -> float:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:

            class Keyed:
                """Equal calls are one call there, unless each has a key of its own."""

                def submit(self, fn: Callable[[int], int], value: int) -> object:
                    return client.submit(fn, value, pure=False)

            return calls(Keyed(), count)


def parsl(count: int) -> float:
    import parsl
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = HighThroughputExecutor(
        label="here", address="127.0.0.1", max_workers_per_node=WORKERS, provider=provider, encrypted=False
    )
    # It looks for programs of its own.
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    parsl.clear()
    with tempfile.TemporaryDirectory() as place:
        with parsl.load(Config(executors=[executor], run_dir=place)):
            app = parsl.python_app(noop)

            class Apps:
                """An application is called, not submitted."""

                def submit(self, _: object, value: int) -> object:
                    return app(value)

            return calls(Apps(), count)


def contenders(tasks: int, count: int) -> Iterator[tuple[str, str, Callable[[], float]]]:
    yield "muster bench dispatch", "tasks/s", lambda: dispatch(tasks)
    yield "muster.Queue, /bin/true", "tasks/s", lambda: programs(tasks)
    yield "work_queue, /bin/true", "tasks/s", lambda: drop_in(tasks)
    yield "50 000 tasks submitted and durable", "s", lambda: queued(0)
    yield "muster.Executor", "calls/s", lambda: own(count)
    yield "ProcessPoolExecutor", "calls/s", lambda: pool(count)
    for name, module, run in (("Dask distributed", "distributed", dask), ("Parsl, high throughput", "parsl", parsl)):
        try:
            __import__(module)
        except ImportError:
            print(f"{name} is not installed and is left out.", file=sys.stderr)
        else:
            yield name, "calls/s", lambda run=run: run(count)  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    field = list(contenders(given.tasks, given.calls))
    measured: dict[str, list[float]] = {name: [] for name, _, _ in field}
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
        # Forth and back, so that nobody always comes after the same one.
        for name, _, run in field[:: 1 - 2 * (number % 2)]:
            measured[name].append(run())
    print(f"{'':<36} {'median':>10} {'least':>10} {'most':>10}")
    for name, unit, _ in field:
        values = measured[name]
        told = " ".join(
            f"{value:>10.3f}" if unit == "s" else f"{value:>10.0f}"
            for value in (statistics.median(values), min(values), max(values))
        )
        print(f"{name:<36} {told} {unit}")
    for name in ("muster.Queue, /bin/true", "work_queue, /bin/true"):
        ratios = [one / other for one, other in zip(measured[name], measured["muster bench dispatch"])]
        print(f"{name} beside muster bench dispatch, round by round: median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
