"""A whole federation for as long as a program runs."""

from __future__ import annotations

import os

from . import _amounts, _binary, _places
from ._amounts import Size
from ._core import Core
from ._queue import Queue, _name


class Federation(Queue):
    """A queue with foremen and workers of its own, on this host: made by :meth:`Federation.local`.

    Its foremen and workers are child processes. They end with the queue, and with this process, however that ends; one
    that dies is started again.
    """

    def __init__(self) -> None:
        raise TypeError("a federation is made by Federation.local()")

    @classmethod
    def local(
        cls,
        sites: int = 1,
        workers: int | None = None,
        *,
        cores: int | None = None,
        memory: Size | None = None,
        project: str | None = None,
    ) -> Federation:
        """Starts a master in this process, and foremen and workers beside it.

        :param sites: Foremen, each with a site of its own; with 0 the workers are under the master.
        :param workers: Workers in all; by default one for each core, and at least one for each site.
        :param cores: Cores of each worker; by default the host's, shared out.
        :param memory: Memory of each worker; by default all there is.
        :param project: As for :class:`Queue`: a name under which the queue is taken up again.
        """
        host = os.cpu_count() or 1
        sites = _amounts.whole(sites, "sites", 0, 1000)
        if workers is None:
            workers = max(host if cores is None else host // cores, sites, 1)
        workers = _amounts.whole(workers, "workers", 1, 10_000)
        if workers < sites:
            raise ValueError("workers are at least as many as sites")
        each = max(1, host // workers) if cores is None else _amounts.whole(cores, "cores", 1, 100_000)
        federation = cls.__new__(cls)
        kept = None if project is None else str(_places.master(_name(project)))
        core = Core.open(
            {
                "project": project or "python",
                "host": "127.0.0.1",
                "ports": (0, 0),
                "base": str(_places.queues()),
                "kept": kept,
                "keys": None,
                "register": None,
                "catalog": [],
            }
        )
        try:
            core.add_sites(
                {
                    "binary": _binary.find(),
                    "sites": sites,
                    "workers": workers,
                    "cores": each,
                    "memory_bytes": None if memory is None else _amounts.size(memory, "memory"),
                }
            )
        except BaseException:
            core.close(True)
            raise
        federation._begin(core, kept is not None)
        federation._local = True
        return federation
