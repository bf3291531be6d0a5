"""What a data plane's own Git remote offers: one commit, which holds its folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ums.domain.errors import UnavailableError
from ums.domain.fleet import Report
from ums.domain.names import PDPName

_SKEW = timedelta(minutes=1)
"""Of clocks; and serials rise by one where several states are issued within a second."""


@dataclass(frozen=True, slots=True)
class View:
    """The newest state of a data plane as a commit.

    Attributes:
        commit_id: a pure function of the data plane's folder on ``delivery``, and so the same on every replica.

    """

    commit_id: str
    serial: int


def check_newest(pdp: PDPName, view: View, *, served: int, report: Report | None, now: datetime) -> None:
    """Check that a view is none of the past: a cluster refuses it, and would tell of a failure.

    Args:
        pdp: whose view it is.
        view: what would be served.
        served: the highest serial that was served before, or 0.
        report: what the data plane said last; a serial from the future counts for nothing: who stole the key for a
            while must not shut it out for long.
        now: the time.

    Raises:
        UnavailableError: this replica lags behind what the data plane has been served already.

    """
    reported = report.serial if report is not None and report.serial <= (now + _SKEW).timestamp() else 0
    if view.serial < max(served, reported):
        raise UnavailableError(
            f"the release repo here is at serial {view.serial} of {pdp}, which has been offered"
            f" {max(served, reported)}",
            hint="it is behind, or was put back to an earlier state: ums events tells what became of it",
        )
