"""Everything the service can do, wired: what every entry point receives, and all that it receives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ums.domain.deciding import Plan, decide
from ums.domain.world import LogEntry
from ums.ports import Clock, ReleaseRepo
from ums.usecases.authenticate_plane import AuthenticatePlane
from ums.usecases.data_planes import AddDataPlane, BootstrapDataPlane
from ums.usecases.instruct import Instruct
from ums.usecases.promote import Promote
from ums.usecases.reconcile import Reconcile
from ums.usecases.record import Record
from ums.usecases.record_event import RecordEvent
from ums.usecases.register_release import RegisterRelease
from ums.usecases.tokens import Authenticate, IssueToken


@dataclass(frozen=True, slots=True)
class Services:
    """The wired use cases."""

    clock: Clock
    release_repo: ReleaseRepo
    record: Record
    authenticate: Authenticate
    authenticate_plane: AuthenticatePlane
    issue_token: IssueToken
    register_release: RegisterRelease
    promote: Promote
    instruct: Instruct
    add_data_plane: AddDataPlane
    bootstrap_data_plane: BootstrapDataPlane
    record_event: RecordEvent
    reconcile: Reconcile

    def plan(self) -> Plan:
        """Return what would be done now."""
        return decide(self.record.world(), self.clock.now())

    def log(self, *, limit: int, path: str = "") -> Sequence[LogEntry]:
        """Return the newest decisions."""
        return self.release_repo.log(limit=limit, path=path)
