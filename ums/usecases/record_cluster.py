"""Record what the reporter in a data plane's cluster saw there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from ums.domain.fleet import Cluster
from ums.domain.names import PDPName
from ums.domain.throttling import Rate, Throttle
from ums.ports import Clock, Store

REPORTS = Rate(burst=10, every=timedelta(minutes=1))
"""Of one data plane, in each process: a reporter comes every quarter of an hour."""


@dataclass(frozen=True, slots=True)
class RecordCluster:
    """Take a report whose sender was authenticated."""

    store: Store
    clock: Clock
    throttle: Throttle = field(default_factory=lambda: Throttle(REPORTS))

    def __call__(self, pdp: PDPName, body: object) -> bool:
        """Record a report; return whether it was news: older ones, and those known already, change nothing.

        Raises:
            InvalidInputError: it is no report.
            TooManyRequestsError: the data plane tells more than anybody needs to know.

        """
        now = self.clock.now()
        self.throttle.require(str(pdp), now, f"reports of {pdp}")
        return self.store.record_cluster(pdp, Cluster.from_dict(body, heard=now))
