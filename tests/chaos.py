"""Two replicas of the real service on one PostgreSQL and one release repo, under load, killed at random.

``make chaos``, or ``python -m tests.chaos --seconds 20 --seed 7``. What was acknowledged must be in Git once, what was
refused not at all, and what was left open at most once; afterwards the loop goes on by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.postgres import Postgres, binaries, running
from tests.processes import Process, eventually, free_port, listens
from tests.running_service import EXAMPLES, PASSWORD, ROOT
from ums.adapters.leadership import KEY
from ums.client import Client
from ums.domain.errors import InProgressError, UmsError, UnavailableError

_PLANES = [f"org-{number % 4}/pdp-{number}" for number in range(24)]
_WRITERS = 4
_CLUSTER: Any = {"kubernetes": "1.33.0", "flux": "2.9.0"}
_TAKEOVER_SECONDS = 15.0
"""No longer may nobody lead, even where both replicas have to start anew; as a rule it is about a second."""
_HOLDER = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted "  # noqa: S608 - numbers of ours
    f"AND classid = {KEY >> 32} AND objid = {KEY & 0xFFFFFFFF}"
)


class Replica:
    """A process of the service, which is ended and started again."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self._folder, self._name, self.port = folder, name, port
        self.url = f"http://127.0.0.1:{port}"
        self._process: Process | None = None

    def start(self) -> None:
        """Start it; only the main thread may, since the process ends with its thread."""
        data = str(self._folder / "data")
        command = [sys.executable, "-m", "ums", "serve", data, "--listen", f"127.0.0.1:{self.port}"]
        env = {"PYTHONPATH": str(ROOT), "UMS_RECONCILE_EVERY": "1s", "UMS_LOG_FORMAT": "json"}
        self._process = Process(command, log=self._folder / f"{self._name}.log", env=env)

    def pids(self) -> list[int]:
        """Return it and all that it started, workers and their Git."""
        assert self._process is not None
        found = [self._process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found

    def kill(self, *, whole: bool) -> None:
        """Kill the worker, which is replaced; or all of it, Git included, and start it again."""
        assert self._process is not None
        master, *others = self.pids()
        for pid in [master, *others] if whole else others[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if whole:
            self._process.stop()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()


@dataclass
class Book:
    """What was asked for, by its reason, and how that ended."""

    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    planes: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Writer(threading.Thread):
    """Somebody who asks one replica or the other for one thing after another."""

    def __init__(self, name: str, clients: Sequence[Client], stop: threading.Event, book: Book, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self._clients, self._stop_asking, self._book = clients, stop, book
        self._random = random.Random(seed)  # noqa: S311 - a test
        self._count = 0

    def run(self) -> None:
        """Ask until told to stop."""
        while not self._stop_asking.is_set():
            self._count += 1
            reason = f"{self.name}-{self._count}"
            ask = self._random.choice([self._pin, self._hold, self._freeze, self._add, self._token])
            start = time.monotonic()
            try:
                answer = ask(self._random.choice(self._clients), reason)
            except (UnavailableError, InProgressError) as error:
                self._book.open.add(reason)
                self._book.answers[f"open: {type(error).__name__}"] += 1
                self._stop_asking.wait(0.05)
            except UmsError as error:
                self._book.refused.add(reason)
                self._book.answers[f"refused: {type(error).__name__}"] += 1
            except Exception as error:  # noqa: BLE001 - told at the end
                self._book.wrong.append(f"{reason}: {error!r}")
            else:
                self._book.seconds.append(time.monotonic() - start)
                if answer.get("recorded", True):
                    self._book.acknowledged.add(reason)
                    self._book.answers["acknowledged"] += 1
                else:
                    self._book.refused.add(reason)
                    self._book.answers["it was so already"] += 1

    def _plane(self) -> tuple[str, str]:
        org, _, pdp = self._random.choice(_PLANES).partition("/")
        return org, pdp

    def _pin(self, client: Client, reason: str) -> Mapping[str, object]:
        return client.pin(*self._plane(), subject="flux", versions=f">={self._random.randrange(9)}.0.0", reason=reason)

    def _hold(self, client: Client, reason: str) -> Mapping[str, object]:
        verb = self._random.choice([client.hold, client.unhold])
        return verb(*self._plane(), subject="flux", reason=reason)

    def _freeze(self, client: Client, reason: str) -> Mapping[str, object]:
        return client.freeze(name=reason, org="org-9", reason=reason)

    def _add(self, client: Client, reason: str) -> Mapping[str, object]:
        # A registration has no reason; its name is as good.
        answer = client.add_plane(pdp=f"new/{reason}", channel="lts", bundles=["flux"])
        self._book.planes.add(f"new/{reason}")
        return answer

    def _token(self, client: Client, reason: str) -> Mapping[str, object]:
        answer = client.issue_token(subject=reason, groups=["viewer"])
        self._book.tokens.add(reason)
        return answer


class Watch(threading.Thread):
    """Asks the database all the time who leads."""

    def __init__(self, connect: Callable[[], Iterator[int | None]]) -> None:
        super().__init__(daemon=True)
        self._holders = connect()
        self.stopped = threading.Event()
        self.gaps: list[float] = []
        self.leaders: set[int] = set()

    def run(self) -> None:
        """Keep for how long nobody led, each time."""
        led, since = True, time.monotonic()
        for holder in self._holders:
            if self.stopped.is_set():
                return
            now = time.monotonic()
            if holder is None and led:
                led, since = False, now
            elif holder is not None:
                if not led:
                    self.gaps.append(now - since)
                led = True
                self.leaders.add(holder)
            time.sleep(0.02)


@dataclass(frozen=True)
class Result:
    """What came of it; ``wrong`` is empty if all is as it must be."""

    wrong: list[str]
    kills: Mapping[str, int]
    figures: Mapping[str, object]


def run(folder: Path, postgres: Postgres, *, seconds: float, seed: int) -> Result:
    """Write, kill and restart for so long, and look at what is there afterwards."""
    rng = random.Random(seed)  # noqa: S311 - a test
    url = postgres.create_database()
    replicas = [Replica(folder, name, free_port()) for name in ("first", "second")]
    token = _prepare(folder, postgres, url, replicas[0].url)
    name, book = url.partition("@/")[2].partition("?")[0], Book()
    with ExitStack() as ending:
        for replica in replicas:
            ending.callback(replica.stop)
            replica.start()
        for replica in replicas:
            eventually(listens(replica.port), timeout=60, what="a replica listens")
        admin = Client(replicas[0].url, token)
        _publish(folder, replicas[0].url, token)
        for plane in _PLANES:
            admin.add_plane(pdp=plane, channel="edge", bundles=["flux"], **_CLUSTER)
        watch = Watch(lambda: _holders(postgres, name))
        watch.start()
        stop = threading.Event()
        urls = [replica.url for replica in replicas]
        writers = [
            Writer(f"w{n}", [Client(url, token) for url in urls], stop, book, rng.randrange(2**32))
            for n in range(_WRITERS)
        ]
        for writer in writers:
            writer.start()
        kills = _storm(replicas, rng, seconds)
        for replica in replicas:
            eventually(listens(replica.port), timeout=60, what="a replica listens again")
        stop.set()
        for writer in writers:
            writer.join(120)
        watch.stopped.set()
        book.wrong += _check(folder, replicas, token, book)
        for gap in watch.gaps:
            if gap > _TAKEOVER_SECONDS:
                book.wrong.append(f"nobody led for {gap:.1f} s")
    ordered, gaps = sorted(book.seconds), sorted(watch.gaps)
    return Result(
        book.wrong,
        kills,
        {
            "seconds": seconds,
            "seed": seed,
            "kills": dict(kills),
            "answers": dict(book.answers),
            "acknowledged a second": round(len(book.acknowledged) / seconds, 1),
            "p50 ms": round(ordered[len(ordered) // 2] * 1000) if ordered else None,
            "p99 ms": round(ordered[int(len(ordered) * 0.99)] * 1000) if ordered else None,
            "leaders": len(watch.leaders),
            "without a leader, median s": round(gaps[len(gaps) // 2], 2) if gaps else None,
            "without a leader, longest s": round(gaps[-1], 2) if gaps else None,
        },
    )


def _storm(replicas: Sequence[Replica], rng: random.Random, seconds: float) -> Counter[str]:
    """Kill workers and whole replicas for so long, at last one of them; return how often."""
    kills: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(rng.uniform(1.0, 6.0))
        kind = rng.choice(["worker", "worker", "replica", "replica", "both"])
        kills[kind] += 1
        chosen = replicas if kind == "both" else [rng.choice(replicas)]
        for replica in chosen:
            replica.kill(whole=kind != "worker")
        if kind != "worker":
            time.sleep(rng.uniform(0.0, 2.0))
            for replica in chosen:
                replica.start()
    return kills


def _prepare(folder: Path, postgres: Postgres, url: str, service: str) -> str:
    """Make the data, and return the token of the admin."""
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "password").write_text(postgres.password)
    (data / "service.yaml").write_text(f"database:\n  url: {url}\n  passwordFile: password\n")
    _ums("keys", "generate", str(folder / "release.key"))
    made = _ums(
        "init",
        str(data),
        "--url",
        service,
        "--release-key",
        str(folder / "release.pub"),
        "--channels",
        str(_channels(folder)),
        "-o",
        "json",
    )
    return str(json.loads(made)["token"])


def _channels(folder: Path) -> Path:
    rollout = "rollout: {waves: [{name: everyone}], maxUpdating: 100%, healthyFor: 0s}\n"
    for name, feeder in {"edge": "", "lts": "feeder: edge\n"}.items():
        (folder / "channels" / name).mkdir(parents=True)
        (folder / "channels" / name / "policy.yaml").write_text(feeder + rollout)
    return folder / "channels"


def _publish(folder: Path, url: str, token: str) -> None:
    for version in ("1.0.0", "1.1.0"):
        _ums(
            "publish",
            str(EXAMPLES / "flux" / "2.9.0"),
            "--version",
            version,
            UMS_SERVER=url,
            UMS_TOKEN=token,
            UMS_KEY=str(folder / "release.key"),
        )


def _ums(*arguments: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ums", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "UMS_KEY_PASSWORD": PASSWORD, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"ums {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _holders(postgres: Postgres, database: str) -> Iterator[int | None]:
    """Yield the leader's session in the database, again and again."""
    with postgres.connect(database) as connection:
        while True:
            row = connection.execute(_HOLDER).fetchone()
            yield None if row is None else int(row[0])


def _check(folder: Path, replicas: Sequence[Replica], token: str, book: Book) -> Iterator[str]:
    """Yield what is not as it must be."""
    client = Client(replicas[1].url, token)
    repo = ["git", "-C", str(folder / "data" / "release-repo.git")]
    listed = subprocess.run(
        [*repo, "log", "--format=%(trailers:key=UMS-Reason,valueonly)", "main"],
        capture_output=True,
        text=True,
        check=True,
    )
    recorded = Counter(line for line in listed.stdout.splitlines() if line)
    elsewhere = book.tokens | {plane.partition("/")[2] for plane in book.planes}
    for reason in sorted(book.acknowledged - elsewhere):
        if recorded[reason] != 1:
            yield f"{reason} was acknowledged, and is in Git {recorded[reason]} times"
    yield from (f"{reason} was refused, and is in Git" for reason in sorted(book.refused) if recorded[reason])
    yield from (f"{reason} is in Git {recorded[reason]} times" for reason in sorted(book.open) if recorded[reason] > 1)
    planes = Counter(f"{each['pdp']}" for each in _pages(client))
    yield from (
        f"{plane} was registered, and is there {planes[plane]} times" for plane in book.planes if planes[plane] != 1
    )
    tokens = Counter(each["subject"] for each in client.get_tokens()["items"])
    yield from (f"the token of {each} is there {tokens[each]} times" for each in book.tokens if tokens[each] != 1)
    locks = [path.name for path in (folder / "data" / "release-repo.git").rglob("*.lock") if path.name != "ums.lock"]
    if set(locks) - {"main.lock", "delivery.lock", "HEAD.lock"}:
        yield f"left behind: {locks}"
    checked = subprocess.run([*repo, "fsck", "--strict", "--no-dangling"], capture_output=True, text=True, check=False)
    if checked.returncode:
        yield f"git fsck: {checked.stderr}"
    audited = subprocess.run(
        [sys.executable, "-m", "ums", "audit", "verify", repo[2], "--data", str(folder / "data")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if audited.returncode:
        yield f"ums audit verify: {audited.stdout}{audited.stderr}"
    # The loop goes on by itself: what is promoted now is offered to whoever nothing keeps from it.
    client.add_plane(pdp="org-8/last", channel="edge", bundles=["flux"], **_CLUSTER)
    try:
        client.promote("edge", release="flux@1.1.0", reason="the end")
    except UmsError as error:
        yield f"{error.message}: {getattr(error, 'reasons', '')}"
    try:
        offered = lambda: "1.1.0" in json.dumps(client.get_plane("org-8", "last")["desired"])  # noqa: E731
        eventually(offered, timeout=30, what="the loop offers what was promoted", every=0.2)
    except AssertionError as error:
        yield str(error)


def _pages(client: Client) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    cursor: str | None = None
    while True:
        page = client.get("/pdps", {"limit": 500, "cursor": cursor})
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def main() -> int:
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))  # noqa: S311 - a test
    options = parser.parse_args()
    bin_folder = binaries()
    if bin_folder is None:
        print("no PostgreSQL is installed")
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="ums-chaos-") as scratch,
        tempfile.TemporaryDirectory(prefix="ums-postgres-") as server,
        running(Path(server), bin_folder) as postgres,
    ):
        result = run(Path(scratch), postgres, seconds=options.seconds, seed=options.seed)
    for name, value in result.figures.items():
        print(f"  {name:<28} {value}")
    for each in result.wrong[:50]:
        print(f"wrong: {each}")
    print("every acknowledged decision is there once" if not result.wrong else f"{len(result.wrong)} are wrong")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
