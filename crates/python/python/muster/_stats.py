"""How things stand."""

from __future__ import annotations

from typing import Any


class Stats:
    """How things stand at a master, as ``muster status --json`` says it."""

    def __init__(self, status: dict[str, Any]) -> None:
        #: All that was said, in the form of ``muster.status/1``.
        self.raw = status
        tasks = status["tasks"]
        #: Tasks accepted since the journal began.
        self.submitted: int = tasks["submitted"]
        #: Tasks with no attempt under way.
        self.waiting: int = tasks["waiting"]
        #: Tasks with an attempt under way: running, or on their way to a worker.
        self.running: int = tasks["leased"]
        #: Tasks with an outcome.
        self.ended: int = tasks["accounted"]
        #: Attempts begun.
        self.attempts: int = tasks["attempts"]
        #: Attempts lost, by cause.
        self.losses: dict[str, int] = {cause: count for cause, count in status["losses"].items() if count}

    @property
    def sites(self) -> list[dict[str, Any]]:
        """The foremen below the master, each with its workers and its cache."""
        return list(self.raw["sites"])

    @property
    def workers(self) -> int:
        """Workers connected, to the master or to foremen at any depth."""
        direct = sum(1 for link in self.raw["links"] if link["below"] and link["role"] == "worker")
        below = sum(int(site["subordinates"]) for site in self.raw["sites"])
        return direct + below - self._foremen_below()

    @property
    def slots(self) -> int:
        """Tasks of one core that can run side by side."""
        return sum(int(link["slots"]) for link in self.raw["links"] if link["below"])

    def _foremen_below(self) -> int:
        """Foremen that other foremen count among those below them."""
        direct = sum(1 for link in self.raw["links"] if link["below"] and link["role"] == "foreman")
        return max(0, len(self.raw["sites"]) - direct)

    def __repr__(self) -> str:
        return (
            f"<Stats {self.submitted} submitted, {self.waiting} waiting, {self.running} running, "
            f"{self.ended} ended, {self.workers} workers>"
        )
