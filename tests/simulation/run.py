"""Runs of the simulation: steps by seed, the invariants after each, and the shortest steps that break one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.doubles.memory_views import MemoryViews
from tests.simulation.cluster import Cluster
from tests.simulation.invariants import check_arrived, check_step
from tests.simulation.stage import PLANES, TAKES_BACK, VERSIONS, published
from tests.unit.usecases.stage import ADMIN, KEYS, Outbox, SettableClock
from ums.adapters._release_files import parse_policy
from ums.adapters.derived_credentials import DerivedCredentials
from ums.adapters.prometheus_meter import PrometheusMeter
from ums.adapters.sql_clock import SqlClock
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_sessions import SqlSessions
from ums.adapters.sql_store import SqlStore
from ums.adapters.sql_webhooks import SqlWebhooks
from ums.adapters.system_clock import SystemClock
from ums.domain import layout
from ums.domain.deciding import Plan, decide
from ums.domain.errors import ConflictError, UmsError
from ums.domain.fleet import Registration, Report
from ums.domain.freezes import Scope
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.risks import Risk
from ums.domain.version import Version, VersionRange
from ums.domain.windows import Schedule, Span
from ums.domain.world import Base, Content, Decision, Document, World
from ums.services import Services
from ums.usecases.instruct import Subject, Why
from ums.usecases.record import Outcome
from ums.usecases.security_events import SecurityEvents
from ums.usecases.watch_clock import WatchClock

BUNDLE = Subject("platform")
SECURITY = Holder("sam", frozenset({"viewer", "security"})).identity
CHANNELS = ("edge", "stable")
_QUIET = 40
"""Rounds without a change that are longer than every soak and window here."""


class KilledError(Exception):
    """The service was killed there."""


@dataclass
class FaultyRepo:
    """The release repo, with others who write to it, and a service that dies beside it."""

    inner: object
    fault: str = ""
    rival: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def commit(self, decision: Decision, *, base: Base) -> Base:
        """Commit, or die before, or after, or let somebody else be faster."""
        fault, self.fault = self.fault, ""
        if fault == "before":
            raise KilledError
        if fault == "rival" and self.rival is not None:
            self.rival()
        if fault == "lost":
            raise ConflictError("somebody else was faster")
        done: Base = self.inner.commit(decision, base=base)  # type: ignore[attr-defined]
        if fault == "after":
            raise KilledError
        return done


@dataclass(frozen=True)
class Step:
    """One thing that happens: its kind, and the randomness that it may use."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}({self.seed})"


_KINDS: dict[str, float] = {
    "wait": 20,
    "poll": 22,
    "hear": 22,
    "reconcile": 22,
    "weather": 3,
    "promote": 10,
    "expedite": 1,
    "override": 1,
    "pin": 1,
    "unpin": 1,
    "hold": 1,
    "unhold": 2,
    "rollback": 1,
    "steer": 3,
    "freeze": 0.7,
    "thaw": 2,
    "yank": 0.4,
    "unyank": 1,
    "recall": 0.4,
    "move": 1,
    "forget": 1,
    "replace": 1,
    "risk": 1,
    "retract": 1.5,
    "accept": 0.5,
    "ask": 0.5,
    "consent": 1,
    "window": 0.5,
    "relabel": 1,
    "restart": 1,
    "jump": 1,
}


def make_steps(seed: int, count: int) -> list[Step]:
    """Return the steps of a run."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    kinds = rng.choices(list(_KINDS), list(_KINDS.values()), k=count)
    return [Step(kind, rng.randrange(2**32)) for kind in kinds]


class Simulation:
    """Two replicas, nine data planes, and people."""

    def __init__(self, seed: int) -> None:
        template = published()
        rng = random.Random(seed)  # noqa: S311 - a simulation
        self.clock = SettableClock()
        self.offset = timedelta(0)
        """By how much the clock of the service's machine is wrong."""
        shown = SystemClock(lambda: self.clock.now() + self.offset, lambda: self.clock.now().timestamp())
        self.repo = FaultyRepo(template.repo.copy())
        self.store = SqlStore("sqlite://")
        self.shown, self.verify = shown, template.verify
        self.services, other = self.replicas = [self._start(self.repo), self._start(self.repo.inner)]
        self.repo.rival = other.reconcile
        self.proven: set[tuple[str, Version, datetime]] = set()
        self.clusters = {name: Cluster(name) for name in PLANES}
        for cluster in self.clusters.values():
            cluster.bad = {version for version in VERSIONS[1:] if rng.random() < 0.1}
        self.rng = rng

    def _start(self, repo: object) -> Services:
        """Return a service that remembers nothing."""
        return Services.wire(
            release_repo=repo,  # type: ignore[arg-type]
            views=MemoryViews(repo),  # type: ignore[arg-type]
            store=self.store,
            clock=self.shown,
            verify=self.verify,
            keys=KEYS,
            credentials=DerivedCredentials(b"m" * 32),
            parse_policy=parse_policy,
            webhooks=SqlWebhooks(self.store.database),
            sender=Outbox(),
            meter=PrometheusMeter("test"),
            security=SecurityEvents(SqlSecurityLog(self.store.database), self.clock),
            sessions=SqlSessions(self.store.database),
            watch=WatchClock(self.shown, SqlClock(self.store.database)),
        )

    def world(self) -> World:
        """Return what is."""
        return self.services.record.world()

    def run(self, steps: list[Step]) -> None:
        """Take steps, checking after each, then let all faults end and check that everybody arrives.

        Raises:
            AssertionError: an invariant does not hold.

        """
        for step in steps:
            self.take(step)
        self.heal()
        self.store.close()

    def take(self, step: Step) -> None:
        """Take one step."""
        rng = self.rng = random.Random(step.seed)  # noqa: S311 - a simulation
        before, entries = self.world(), self.services.log(limit=1)
        outcome: Outcome | None = None
        self.repo.fault = rng.choices(["", "before", "after", "lost", "rival"], [70, 5, 5, 10, 10])[0]
        try:
            found = getattr(self, f"_{step.kind}")(rng)
            outcome = found if isinstance(found, Outcome) else None
        except KilledError:
            pass
        except UmsError:
            pass  # refused, and told why
        finally:
            self.repo.fault = ""
        after = self.world()
        moved = self.services.log(limit=1) != entries
        check_step(before, after, self.clock.now(), outcome, self.clusters, proven=self.proven, moved=moved)

    def heal(self) -> None:
        """End all faults, let time pass, and check that nothing waits without a reason."""
        for name in self.clusters.keys() - self.world().planes.keys():
            self.services.add_data_plane(Registration(name, "stable", ("platform",)), by=ADMIN)
        quiet = leaps = 0
        for _ in range(600):
            self.services.note_clock()
            # What was lost with the database is heard again when a state is issued anew, half way to its end.
            self.clock.advance(timedelta(days=4) if quiet > _QUIET else timedelta(minutes=10))
            for cluster in self.clusters.values():
                cluster.online = True
                desired = self.world().plane(cluster.name).desired
                cluster.poll(desired, self.clock.now())
                self._deliver(cluster, list(cluster.outbox))
                cluster.outbox.clear()
            before = self.world()
            outcome = self.services.reconcile()
            check_step(before, self.world(), self.clock.now(), outcome, self.clusters, proven=self.proven, moved=True)
            leaps += quiet > _QUIET
            quiet = 0 if quiet > _QUIET or outcome.plan.moves or outcome.plan.rollouts else quiet + 1
            if leaps and quiet > _QUIET:
                break
        else:
            raise AssertionError("it never comes to rest")
        check_arrived(self.world(), self.services.plan())

    def _deliver(self, cluster: Cluster, reports: list[Report]) -> None:
        for report in reports:
            self.store.record(cluster.name, replace(report, heard=self.clock.now(), since=self.clock.now()))

    def _wait(self, rng: random.Random) -> None:
        """Let time pass, which each process notes every minute; or its clock would seem to have jumped."""
        self.services.note_clock()
        self.clock.advance(timedelta(seconds=rng.choice([5, 60, 300, 900, 3600, 6 * 3600])))

    def _poll(self, rng: random.Random) -> None:
        world = self.world()
        for cluster in rng.sample(list(self.clusters.values()), rng.randint(1, len(self.clusters))):
            cluster.poll(world.plane(cluster.name).desired, self.clock.now())

    def _hear(self, rng: random.Random) -> None:
        for cluster in self.clusters.values():
            sent = [each for each in cluster.outbox if rng.random() < 0.8]
            cluster.outbox = [each for each in cluster.outbox if each not in sent]
            rng.shuffle(sent)
            twice = [each for each in sent if rng.random() < 0.1]
            self._deliver(cluster, [*sent, *twice])

    def _reconcile(self, rng: random.Random) -> Outcome:
        return rng.choice(self.replicas).reconcile()

    def _weather(self, rng: random.Random) -> None:
        cluster = rng.choice(list(self.clusters.values()))
        if rng.random() < 0.3:
            cluster.mend(self.clock.now())
        else:
            cluster.online = not cluster.online

    def _promote(self, rng: random.Random) -> Outcome:
        to = rng.choice(CHANNELS)
        head = self.world().channels[to].tracks["platform"].head.release
        newer = [version for version in VERSIONS if version > head] or [head]
        name = ReleaseName("platform", newer[min(int(rng.expovariate(1.0)), len(newer) - 1)])
        return self.services.promote(name, to=to, by=ADMIN, reason="on", when_ready=rng.random() < 0.5)

    def _expedite(self, rng: random.Random) -> Outcome:
        name = ReleaseName("platform", rng.choice(VERSIONS))
        self.services.approve(name, to="stable", by=SECURITY, reason="it is urgent")
        return self.services.promote(name, to="stable", by=ADMIN, reason="CVE", expedite=True)

    def _override(self, rng: random.Random) -> Outcome:
        name, cancels = ReleaseName("platform", TAKES_BACK), rng.random() < 0.3
        why, to = Why(ADMIN, "it loses packets"), rng.choice(CHANNELS)
        return self.services.override_gate("regression", name, to=to, why=why, cancels=cancels)

    def _jump(self, rng: random.Random) -> None:
        """Do what is due, or what people ask, while the clock of the machine is wrong for a moment."""
        self.offset = rng.choice([timedelta(days=10), timedelta(hours=3), -timedelta(days=10), timedelta(minutes=1)])
        try:
            getattr(self, rng.choice(["_reconcile", "_hold", "_replace", "_promote"]))(rng)
        finally:
            self.offset = timedelta(0)

    def _subject(self, rng: random.Random) -> Subject:
        return rng.choice([BUNDLE, Subject("platform", "cilium"), Subject("platform", "legacy")])

    def _why(self, rng: random.Random) -> Why:
        span = rng.choice([None, timedelta(hours=2), timedelta(days=2)])
        return Why(ADMIN, "because", self.clock.now() + span if span else None)

    def _pin(self, rng: random.Random) -> Outcome:
        versions = VersionRange(rng.choice(["1.0.0", "~1.1", "<1.4", ">=1.2", "1.x"]))
        return self.services.instruct.pin(rng.choice(PLANES), self._subject(rng), versions, self._why(rng))

    def _unpin(self, rng: random.Random) -> Outcome:
        return self.services.instruct.unpin(rng.choice(PLANES), self._subject(rng), self._why(rng))

    def _hold(self, rng: random.Random) -> Outcome:
        release = rng.choice([None, *VERSIONS])
        return self.services.instruct.hold(rng.choice(PLANES), self._subject(rng), release, self._why(rng))

    def _unhold(self, rng: random.Random) -> Outcome:
        if rng.random() < 0.3:
            return self.services.instruct.unhold_channel(rng.choice(CHANNELS), "platform", self._why(rng))
        return self.services.instruct.unhold(rng.choice(PLANES), self._subject(rng), self._why(rng))

    def _rollback(self, rng: random.Random) -> Outcome:
        release: Version = rng.choice(VERSIONS)
        if rng.random() < 0.3:
            return self.services.instruct.roll_back_channel(rng.choice(CHANNELS), "platform", release, self._why(rng))
        return self.services.instruct.roll_back(rng.choice(PLANES), self._subject(rng), release, self._why(rng))

    def _steer(self, rng: random.Random) -> Outcome:
        step = rng.choice(["pause", "resume", "resume", "cancel", "retry", "next"])
        return self.services.steer_rollout(step, rng.choice(CHANNELS), "platform", Why(ADMIN, "because"))

    def _freeze(self, rng: random.Random) -> Outcome:
        plane: PDPName = rng.choice(PLANES)
        scopes = [Scope(), Scope(channel="stable"), Scope(org=plane.org), Scope(pdp=plane), Scope(bundle="platform")]
        number = rng.randrange(len(scopes))
        return self.services.freeze_fleet.freeze(f"f{number}", scopes[number], self._why(rng))

    def _thaw(self, rng: random.Random) -> Outcome | None:
        frozen = self.world().freezes
        return self.services.freeze_fleet.thaw(rng.choice(frozen).name, self._why(rng)) if frozen else None

    def _yank(self, rng: random.Random) -> Outcome:
        return self.services.withdraw_release.yank(ReleaseName("platform", rng.choice(VERSIONS)), self._why(rng))

    def _unyank(self, rng: random.Random) -> Outcome:
        return self.services.withdraw_release.unyank(ReleaseName("platform", rng.choice(VERSIONS)), self._why(rng))

    def _recall(self, rng: random.Random) -> Outcome:
        name, to = ReleaseName("platform", rng.choice(VERSIONS)), rng.choice([None, *VERSIONS])
        return self.services.withdraw_release.recall(name, to, self._why(rng))

    def _move(self, rng: random.Random) -> None:
        """Let somebody edit a registration in Git: another channel."""
        plane = self.world().plane(rng.choice(PLANES))
        registration: Registration = replace(plane.registration, channel=rng.choice(CHANNELS))
        main: dict[str, Content | None] = {layout.fleet_registration(plane.name): Document(registration.to_dict())}
        decision = Decision("Move", "edit", "olga", "another channel", self.clock.now(), main)
        self.repo.commit(decision, base=self.world().base)

    def _risk(self, rng: random.Random) -> Outcome:
        labels = rng.choice([{}, {"org": "acme"}, {"org": "globex"}, {"disk": "old"}])
        why = Why(ADMIN, "because")
        releases = VersionRange(rng.choice([">=1.2", "1.x", f"{rng.choice(VERSIONS)}"]))
        risk = Risk(
            f"r{rng.randrange(3)}", "platform", releases, "it may break", why.given(self.clock.now()), labels=labels
        )
        return self.services.declare_risk.declare(risk, self._why(rng))

    def _retract(self, rng: random.Random) -> Outcome:
        return self.services.declare_risk.retract(f"r{rng.randrange(3)}", Why(ADMIN, "because"))

    def _accept(self, rng: random.Random) -> Outcome:
        return self.services.declare_risk.accept(rng.choice(PLANES), f"r{rng.randrange(3)}", self._why(rng))

    def _change(self, rng: random.Random, **fields: Any) -> Outcome:  # noqa: ANN401 - of a registration
        change = lambda each: replace(each, **fields)  # noqa: E731
        return self.services.change_data_plane(rng.choice(PLANES), change, Why(ADMIN, "because"))

    def _ask(self, rng: random.Random) -> Outcome:
        return self._change(rng, ask=rng.random() < 0.5)

    def _consent(self, rng: random.Random) -> Outcome:
        name = ReleaseName("platform", rng.choice(VERSIONS))
        return self.services.instruct.consent(rng.choice(PLANES), name, self._why(rng))

    def _window(self, rng: random.Random) -> Outcome:
        closed = Span(self.clock.now(), self.clock.now() + timedelta(hours=rng.choice([1, 12, 100])))
        return self._change(rng, windows=Schedule(deny=rng.choice([(), (closed,)])))

    def _relabel(self, rng: random.Random) -> Outcome:
        return self._change(rng, labels={"org": rng.choice(["acme", "globex"]), "disk": rng.choice(["old", "new"])})

    def _restart(self, rng: random.Random) -> None:
        """Start a replica anew: it moves nobody whom the one before would not have moved."""
        number = rng.randrange(2)
        old = self.replicas[number]
        new = self._start(old.release_repo)
        worlds = [each.record.world() for each in (old, new)]
        assert worlds[0].planes == worlds[1].planes, "a restart makes other data planes of them"
        now = self.clock.now()
        assert decide(worlds[0], now) == decide(worlds[1], now), "a restart decides something else"
        self.replicas[number] = new
        self.services, other = self.replicas
        self.repo.rival = other.reconcile

    def _replace(self, rng: random.Random) -> None:
        """Remove a data plane, and register one of its name, in whose cluster nothing runs; or die in between."""
        name = rng.choice(PLANES)
        plane = self.world().planes.get(name)
        registration = plane.registration if plane else Registration(name, rng.choice(CHANNELS), ("platform",))
        old = self.clusters[name]
        # Its guard stays, and so does the serial that it saw last.
        self.clusters[name] = Cluster(name, old.bad, serial=old.serial)
        self.services.remove_data_plane(name, Why(ADMIN, "because"))
        # On a machine whose clock is an hour behind.
        self.clock.advance(-timedelta(hours=1))
        try:
            self.services.add_data_plane(registration, by=ADMIN)
        finally:
            self.clock.advance(timedelta(hours=1))

    def _forget(self, rng: random.Random) -> None:
        """Lose what was observed of a data plane."""
        self.store.forget(rng.choice(PLANES))


def shrink(seed: int, steps: list[Step]) -> list[Step]:
    """Return fewer steps that break an invariant too (delta debugging, Zeller and Hildebrandt 2002)."""
    size = max(len(steps) // 2, 1)
    while True:
        for start in range(0, len(steps), size):
            fewer = [*steps[:start], *steps[start + size :]]
            if broken(seed, fewer):
                steps = fewer
                break
        else:
            if size == 1:
                return steps
            size = max(size // 2, 1)


def broken(seed: int, steps: list[Step]) -> str:
    """Return what a run breaks, or the empty string."""
    try:
        Simulation(seed).run(steps)
    except AssertionError as error:
        return str(error) or repr(error)
    return ""


def search(seeds: Iterator[int], count: int) -> str:
    """Return how to replay the first run that breaks an invariant, shrunk; the empty string if none does."""
    for seed in seeds:
        steps = make_steps(seed, count)
        if broken(seed, steps):
            steps = shrink(seed, steps)
            shown = "\n  ".join(map(str, steps))
            return (
                f"{broken(seed, steps)}\nreplay: python -m tests.simulation --seed {seed} --steps {count}\n"
                f"shortest:\n  {shown}"
            )
    return ""


__all__ = ["Plan", "Simulation", "Step", "make_steps", "search"]
