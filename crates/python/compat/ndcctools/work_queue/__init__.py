"""The present name of the module ``work_queue``, on Muster."""

from work_queue import *  # noqa: F401,F403
from work_queue import __version__  # noqa: F401
