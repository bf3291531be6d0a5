"""How many events the service takes, and how fast it shows a fleet of ten thousand: ``python -m tests.bench.events``.

The real ``ums serve`` on SQLite and on a private PostgreSQL, asked over loopback by one client process with kept
connections; beside it, on the same server and database, an application that does nothing but write one row.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.bench.fleet import ADMIN, VERSIONS, decision, make_record, publish_all
from tests.bench.load import Load, drive, get, post
from tests.doubles.memory_registry import MemoryRegistry
from tests.postgres import binaries, running
from tests.processes import Process, free_port, listens
from tests.running_service import ROOT
from tests.unit.usecases.stage import KEYS
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier
from ums.adapters.derived_credentials import MASTER_BYTES, DerivedCredentials
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_store import SqlStore
from ums.adapters.system_clock import SystemClock
from ums.domain.fleet import BundleState, Health, Report
from ums.domain.identity import Holder
from ums.domain.instants import to_text
from ums.domain.names import PDPName
from ums.domain.rendering import NAMESPACE, offer, render_planes
from ums.domain.rendering import ROOT as ROOT_NAME
from ums.usecases.check_trust import CheckTrust
from ums.usecases.register_release import RegisterRelease
from ums.usecases.security_events import SecurityEvents
from ums.usecases.tokens import IssueToken
from ums.usecases.verify import Verify

SIZE = 10_000
PLANES = [PDPName(f"org-{number % 50}", f"pdp-{number}") for number in range(SIZE)]
_CONNECTIONS = 32
_EVENTS = 3_000
_READS = 60
_ROUNDS = 3
_THREADS = "16"


def bench_events(folder: Path) -> None:
    """Print the figures for both databases."""
    data = folder / "data"
    data.mkdir(parents=True)
    offered = make_fleet(data)
    print(f"\nevents of a fleet of {SIZE:,}, {_CONNECTIONS} connections kept, best of {_ROUNDS}; load {_load()}")
    _bench_database("SQLite", folder, f"sqlite:///{data / 'ums.db'}", "", offered)
    bin_folder = binaries()
    if bin_folder is None:
        print("  no PostgreSQL is installed")
        return
    with tempfile.TemporaryDirectory(prefix="ums-postgres-") as scratch, running(Path(scratch), bin_folder) as server:
        _bench_database("PostgreSQL", folder, server.create_database(), server.password, offered)


def make_fleet(data: Path) -> tuple[str, int]:
    """Register and offer something to everybody; return the commit with the offers, and their serial."""
    signer = CosignBundleSigner(generate_private_key(SECP256R1()), "release")
    record = make_record(data, signer, PLANES)
    registry = MemoryRegistry()
    verify = Verify(registry, CosignBundleVerifier())
    publish_all(data, signer, verify, RegisterRelease(record, verify, CheckTrust(registry, KEYS)))
    now, repo = SystemClock().now(), record.release_repo
    world, serial = repo.read(), int(now.timestamp())
    components = {each.name: VERSIONS[0] for each in world.entry("bundle", VERSIONS[0]).release.components}
    bundles = {"bundle": BundleState(VERSIONS[0], components)}
    offers = {pdp: offer(world, pdp, bundles, serial=serial, now=now) for pdp in PLANES}
    base = repo.commit(decision({}, render_planes(world, offers)), base=world.base)
    (data / "master.key").write_bytes(secrets.token_bytes(MASTER_BYTES))
    return base.delivery, serial


def _bench_database(kind: str, folder: Path, url: str, password: str, offered: tuple[str, int]) -> None:
    data, (commit, serial) = folder / "data", offered
    store, clock = SqlStore(url, password=password or None), SystemClock()
    said = Report(serial, Health.HEALTHY, "Applied", "", clock.now() - timedelta(hours=1), clock.now())
    for pdp in PLANES:
        store.record(pdp, said)
    security = SecurityEvents(SqlSecurityLog(store.database), clock)
    token = IssueToken(store, clock, security)(Holder("bench", frozenset({"viewer"})), expires=None, by=ADMIN)
    store.close()
    secret = folder / "database-password"
    secret.write_text(password)
    env = {"UMS_DATABASE_URL": url, **({"UMS_DATABASE_PASSWORD_FILE": str(secret)} if password else {})}
    env |= {"PYTHONPATH": str(ROOT), "UMS_RECONCILE_EVERY": "10s", "UMS_LOG_FORMAT": "json"}
    floor = {"FLOOR_DATABASE": url, "FLOOR_PASSWORD": password} if password else {"FLOOR_DATABASE": url}
    events = _events((data / "master.key").read_bytes(), commit)
    # Several processes gain nothing where one at a time may write.
    for processes in (1, 2) if password else (1,):
        what = f"{kind}, {processes} process{'es' if processes > 1 else ''}"
        with ExitStack() as ending:
            ports = [free_port() for _ in range(processes)]
            for port in ports:
                serve = [sys.executable, "-m", "ums", "serve", str(data), "--listen", f"127.0.0.1:{port}"]
                command = [*serve, "--threads", _THREADS]
                service = ending.enter_context(Process(command, log=folder / "serve.log", env=env))
                service.wait_until(listens(port))
            floor_port = free_port()
            bare = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{floor_port}", "--worker-class", "gthread"]
            bare += ["--threads", _THREADS, "--workers", str(processes), "--keep-alive", "15"]
            bare += ["tests.bench.floor:make_app()"]
            floor_env = {**floor, "PYTHONPATH": str(ROOT)}
            beside = ending.enter_context(Process(bare, log=folder / "floor.log", env=floor_env, cwd=ROOT))
            beside.wait_until(listens(floor_port))
            _measure(what, ports, floor_port, events, token)


def _measure(kind: str, ports: Sequence[int], floor_port: int, events: Iterator[bytes], token: str) -> None:
    rows = (post(f"/plane-{number % SIZE}", b'{"message": "Applied revision"}') for number in itertools.count())
    drive(ports, events, connections=4, count=50)
    taken = [
        (
            drive([floor_port], rows, connections=_CONNECTIONS, count=_EVENTS),
            drive(ports, events, connections=_CONNECTIONS, count=_EVENTS),
        )
        for _ in range(_ROUNDS)
    ]
    least, ours = (max(loads, key=lambda load: load.per_second) for loads in zip(*taken, strict=True))
    assert set(ours.statuses) == {202}, ours.statuses
    _show(f"{kind}: one row a POST, nothing else", least)
    _show(f"{kind}: events", ours, least)
    for what, path in (("health breakdown", "/api/v1/status"), ("a page of 100", "/api/v1/pdps?limit=100")):
        reads = [
            drive(ports[:1], itertools.repeat(get(path, token)), connections=1, count=_READS) for _ in range(_ROUNDS)
        ]
        _show(f"{kind}: {what}, one at a time", min(reads, key=lambda load: load.percentile(0.5)))


def _events(master: bytes, commit: str) -> Iterator[bytes]:
    """Yield signed events of all data planes in turn, each newer than the one before."""
    credentials = DerivedCredentials(master)
    keys = [credentials.credentials(pdp, generation=1).event_key.encode() for pdp in PLANES]
    at = SystemClock().now()
    for turn in itertools.count():
        body = json.dumps(
            {
                "involvedObject": {"kind": "Kustomization", "name": ROOT_NAME, "namespace": NAMESPACE},
                "severity": "info",
                "timestamp": to_text(at + timedelta(seconds=turn)),
                "message": f"Reconciliation finished in 1.2s, next run in 1m0s, turn {turn}",
                "reason": "ReconciliationSucceeded",
                "metadata": {"kustomize.toolkit.fluxcd.io/revision": f"delivery@sha1:{commit}"},
                "reportingController": "kustomize-controller",
            }
        ).encode()
        for pdp, key in zip(PLANES, keys, strict=True):
            signature = hmac.new(key, body, hashlib.sha256).hexdigest()
            yield post(f"/api/v1/pdps/{pdp}/events", body, f"X-Signature: sha256={signature}")


def _show(what: str, load: Load, against: Load | None = None) -> None:
    ratio = f"{load.per_second / against.per_second:8.2f} x" if against else ""
    median, slow = (load.percentile(share) * 1000 for share in (0.5, 0.99))
    print(f"  {what:<48} {load.per_second:7.0f} /s   p50 {median:7.1f} ms   p99 {slow:7.1f} ms {ratio}", flush=True)


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch_folder:
        bench_events(Path(scratch_folder))
