"""Look at a cluster, from inside it, and say what a report to the service holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ums.domain.errors import InvalidInputError
from ums.domain.fleet import fact_version, fitting
from ums.domain.instants import to_text
from ums.ports import Clock, ClusterReader


@dataclass(frozen=True, slots=True)
class ReportCluster:
    """Read the versions and the images of a cluster."""

    reader: ClusterReader
    clock: Clock

    def __call__(self, *, flux_namespace: str) -> tuple[dict[str, Any], int]:
        """Return what to send, and how many images do not fit into it.

        Raises:
            UnavailableError: the cluster does not answer.
            UnauthenticatedError, ForbiddenError: it does not let us look.

        """
        images = set(self.reader.images())
        fit = fitting(images)
        said = {
            "at": to_text(self.clock.now()),
            "kubernetes": _lowest([self.reader.kubernetes_version()]),
            "flux": _lowest(self.reader.flux_versions(flux_namespace)),
            "images": list(fit),
        }
        return said, len(images) - len(fit)


def _lowest(texts: Sequence[str]) -> str | None:
    """Return the lowest version: while Flux is updated there are two, and what is required must be true of both."""
    known = {}
    for text in texts:
        try:
            known[fact_version(text)] = text
        except InvalidInputError:  # a build of somebody's own, which says nothing
            continue
    return known[min(known)] if known else None
