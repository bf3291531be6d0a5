"""Everything the service can do, wired: what every entry point receives, and all that it receives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from ums.domain.deciding import Plan, decide
from ums.domain.measuring import Measurement, measure
from ums.domain.throttling import Rate, Throttle
from ums.domain.world import LogEntry
from ums.ports import (
    Clock,
    CredentialSource,
    Disk,
    GitHost,
    IdentityProvider,
    Meter,
    ReleaseRepo,
    Sender,
    SessionStore,
    Store,
    Views,
    WebhookQueue,
)
from ums.usecases.answer_once import AnswerOnce
from ums.usecases.approve import Approve
from ums.usecases.authenticate_plane import AuthenticatePlane
from ums.usecases.cancel_promotion import CancelPromotion
from ums.usecases.change_data_plane import ChangeDataPlane
from ums.usecases.check_health import CheckHealth, Pulse
from ums.usecases.check_trust import CheckTrust, Keys
from ums.usecases.data_planes import AddDataPlane, BootstrapDataPlane
from ums.usecases.exchange import ExchangeWithHost
from ums.usecases.freeze import FreezeFleet
from ums.usecases.instruct import Instruct
from ums.usecases.log_in import KnowSessions, LogIn
from ums.usecases.override_gate import OverrideGate
from ums.usecases.promote import Promote
from ums.usecases.prune_history import DEFAULT_RETENTION, PruneHistory
from ums.usecases.read_audit import ReadAudit
from ums.usecases.read_feed import ReadFeed
from ums.usecases.reclaim import Reclaim
from ums.usecases.reconcile import Reconcile
from ums.usecases.record import Record
from ums.usecases.record_cluster import RecordCluster
from ums.usecases.record_event import RecordEvent
from ums.usecases.register_release import RegisterRelease
from ums.usecases.remove_data_plane import RemoveDataPlane
from ums.usecases.risks import DeclareRisk
from ums.usecases.roles import GrantRoles
from ums.usecases.rotate_credentials import RotateCredentials
from ums.usecases.rotate_keys import RotateKeys
from ums.usecases.security_events import SecurityEvents
from ums.usecases.see import See
from ums.usecases.serve_view import ServeView
from ums.usecases.set_policy import ParsePolicy, SetPolicy
from ums.usecases.steer_rollout import SteerRollout
from ums.usecases.tokens import Authenticate, IssueToken, ManageTokens
from ums.usecases.verify import Verify
from ums.usecases.watch_clock import WatchClock
from ums.usecases.webhooks import DeliverWebhooks, ManageWebhooks, TakeNotice
from ums.usecases.withdraw import WithdrawRelease

_LOGINS = Rate(20, timedelta(seconds=6))
_WRONG_TOKENS = Rate(30, timedelta(seconds=10))
_KEYS_USED = Rate(1000, timedelta(minutes=1))
"""Of one identity: each new idempotency key keeps an answer for a day."""


@dataclass(frozen=True, slots=True)
class Services:
    """The wired use cases."""

    clock: Clock
    release_repo: ReleaseRepo
    record: Record
    answer_once: AnswerOnce
    authenticate: Authenticate
    authenticate_plane: AuthenticatePlane
    log_in: LogIn
    sessions: KnowSessions
    login_attempts: Throttle
    wrong_tokens: Throttle
    keys_used: Throttle
    issue_token: IssueToken
    manage_tokens: ManageTokens
    grant_roles: GrantRoles
    register_release: RegisterRelease
    check_trust: CheckTrust
    rotate_keys: RotateKeys
    promote: Promote
    cancel_promotion: CancelPromotion
    approve: Approve
    override_gate: OverrideGate
    steer_rollout: SteerRollout
    freeze_fleet: FreezeFleet
    withdraw_release: WithdrawRelease
    declare_risk: DeclareRisk
    set_policy: SetPolicy
    instruct: Instruct
    add_data_plane: AddDataPlane
    change_data_plane: ChangeDataPlane
    bootstrap_data_plane: BootstrapDataPlane
    serve_view: ServeView
    rotate_credentials: RotateCredentials
    remove_data_plane: RemoveDataPlane
    record_event: RecordEvent
    record_cluster: RecordCluster
    reconcile: Reconcile
    reclaim: Reclaim
    exchange: ExchangeWithHost
    see: See
    read_audit: ReadAudit
    security: SecurityEvents
    manage_webhooks: ManageWebhooks
    deliver_webhooks: DeliverWebhooks
    take_notice: TakeNotice
    prune_history: PruneHistory
    health: CheckHealth
    note_clock: Callable[[], None]
    pulse: Pulse
    meter: Meter

    @classmethod
    def wire(
        cls,
        *,
        release_repo: ReleaseRepo,
        views: Views,
        store: Store,
        clock: Clock,
        verify: Verify,
        keys: Keys,
        credentials: CredentialSource,
        parse_policy: ParsePolicy,
        webhooks: WebhookQueue,
        sender: Sender,
        meter: Meter,
        security: SecurityEvents,
        sessions: SessionStore,
        provider: IdentityProvider | None = None,
        disk: Disk | None = None,
        host: GitHost | None = None,
        history_retention: timedelta = DEFAULT_RETENTION,
        watch: WatchClock | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> Self:
        """Return the use cases on these adapters; ``wake`` is called when the loop has something to do."""
        pulse = Pulse()
        record = Record(release_repo, store, clock, wake)
        if watch is not None:
            record = replace(record, clock_problem=watch.problem)
        promote, check_trust = Promote(record, verify), CheckTrust(verify.registry, keys)
        exchange = ExchangeWithHost(host, clock, security)
        return cls(
            clock=clock,
            release_repo=release_repo,
            record=record,
            answer_once=AnswerOnce(store, clock),
            authenticate=Authenticate(store, clock, security),
            authenticate_plane=AuthenticatePlane(release_repo, credentials, clock, security),
            log_in=LogIn(provider, sessions, clock, security),
            sessions=KnowSessions(release_repo, sessions, clock, security),
            login_attempts=Throttle(_LOGINS),
            wrong_tokens=Throttle(_WRONG_TOKENS),
            keys_used=Throttle(_KEYS_USED),
            issue_token=IssueToken(store, clock, security),
            manage_tokens=ManageTokens(store, security),
            grant_roles=GrantRoles(record),
            register_release=RegisterRelease(record, verify, check_trust),
            check_trust=check_trust,
            rotate_keys=RotateKeys(record, keys),
            promote=promote,
            cancel_promotion=CancelPromotion(record),
            approve=Approve(record),
            override_gate=OverrideGate(record),
            steer_rollout=SteerRollout(record),
            freeze_fleet=FreezeFleet(record),
            withdraw_release=WithdrawRelease(record),
            declare_risk=DeclareRisk(record),
            set_policy=SetPolicy(record, parse_policy),
            instruct=Instruct(record),
            add_data_plane=AddDataPlane(record),
            change_data_plane=ChangeDataPlane(record),
            bootstrap_data_plane=BootstrapDataPlane(record, credentials, security, host.url if host else ""),
            serve_view=ServeView(views, release_repo, store, clock),
            record_event=RecordEvent(release_repo, views, store, clock),
            rotate_credentials=RotateCredentials(record, credentials, security),
            remove_data_plane=RemoveDataPlane(record, store, security),
            record_cluster=RecordCluster(store, clock),
            exchange=exchange,
            reclaim=Reclaim(release_repo, clock, security),
            reconcile=Reconcile(record, promote),
            see=See(record, ReadFeed(release_repo)),
            read_audit=ReadAudit(security.log, release_repo),
            security=security,
            manage_webhooks=ManageWebhooks(webhooks, release_repo, clock, security),
            take_notice=TakeNotice(webhooks, record),
            deliver_webhooks=DeliverWebhooks(webhooks, ReadFeed(release_repo), sender, clock),
            prune_history=PruneHistory(store, sessions, clock, history_retention),
            health=CheckHealth(
                release_repo,
                store,
                clock,
                pulse,
                disk,
                host_problem=exchange.problem,
                clock_problem=lambda: record.clock_problem(record.world()),
            ),
            note_clock=lambda: watch.beat(record.world()) if watch else None,
            pulse=pulse,
            meter=meter,
        )

    def plan(self) -> Plan:
        """Return what would be done now."""
        return decide(self.record.world(), self.clock.now())

    def measure(self) -> Sequence[Measurement]:
        """Return the fleet as numbers."""
        world = self.record.world()
        return measure(world, self.clock.now(), clock_problem=self.record.clock_problem(world))

    def log(self, *, limit: int, path: str = "", head: str = "", skip: int = 0) -> Sequence[LogEntry]:
        """Return decisions, newest first: those that led to ``head``, past the first."""
        return self.release_repo.log(limit=limit, path=path, head=head, skip=skip)
