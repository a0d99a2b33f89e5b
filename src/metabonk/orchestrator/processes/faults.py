"""Failures of the system that supervision outlives: it tries again and says so."""

import contextlib
import errno
import logging
from collections.abc import Iterator

from metabonk.messages.base import Problem

log = logging.getLogger(__name__)

ACTIONS = {
    errno.EMFILE: "raise the limit of open files ('ulimit -n') or close some viewers",
    errno.ENFILE: "too many files are open on this machine: close some programs",
    errno.ENOMEM: "free some memory",
    errno.EAGAIN: "too many processes run on this machine: end some",
    errno.ENOSPC: "free some disk space",
    errno.EDQUOT: "free some disk space",
    errno.EACCES: "fix the permissions",
}


class Faults:
    """Operations that fail with an OSError, from their first failure to their next success."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    @contextlib.contextmanager
    def survive(self, operation: str) -> Iterator[None]:
        """End the block at an OSError, and remember it as a problem of this operation.

        Args:
            operation: a noun phrase; it is tried again later.
        """
        try:
            yield
        except OSError as error:
            if operation not in self._problems:
                log.error("%s failed and is tried again: %s", operation, error)
            self._problems[operation] = Problem(
                message=f"{operation} failed: {error}",
                action=f"{ACTIONS.get(error.errno or 0, 'see logs/orchestrator.log')}; "
                "it is tried again automatically",
            )
        else:
            if self._problems.pop(operation, None) is not None:
                log.info("%s works again", operation)

    def problems(self) -> list[Problem]:
        """Return the failures that last; any thread may ask."""
        return list(self._problems.values())
