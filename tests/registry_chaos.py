"""A real service under pushes, pulls, deletions, garbage collection, clones of views and new states, killed at random.

``python -m tests.registry_chaos --kills 300 --seed 7``. Clients try again until they succeed. What was acknowledged
must be there, byte for byte, until somebody deletes it, and at the end nothing may be wrong with the folder. A view
that was cloned is whole and signed, and never older than what its data plane was offered or has seen.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

from tests.chaos_clients import PATIENCE_SECONDS, Book, Client, UnluckyError
from tests.processes import eventually
from tests.running_service import ROOT, RunningService
from tests.view_clients import PLANES, Follower, Issuer, make_fleet
from ums.domain.digest import Digest
from ums.domain.oci import INDEX, MANIFEST
from ums.edge.registry_care import check, collect
from ums.edge.registry_storage import Storage

_PUSHERS, _PULLERS, _FOLLOWERS, _REPOSITORIES = 3, 1, 3, 3
_ENOUGH = 3
_GRACE = timedelta(seconds=3)
"""Of the collections here; long enough for a push, if nobody is killed amid it."""
_COLLECT = "import sys; from tests.registry_chaos import collect_for_ever; collect_for_ever(sys.argv[1])"


class Pusher(Client):
    """Pushes artifacts of all kinds, and deletes some of its own."""

    KIND = "push"

    def _choose(self) -> Callable[[], None] | None:
        if self._random.random() < 0.15:
            return self._take_back()
        repository = f"chaos/r{self._random.randrange(_REPOSITORIES)}"
        sizes = [self._random.choice([10, 5_000, 700_000]) for _ in range(self._random.randint(1, 3))]
        # Some blobs are those of others, pushed at the same time, or collected.
        blobs = [self._random.randbytes(size) for size in sizes] + [bytes([self._random.randrange(4)]) * 1000]
        ways = [self._random.choice(["whole", "chunks", "mount"]) for _ in blobs]
        kind, tag = self._random.choice(["image", "index", "referrer", "loose"]), f"{self.name}-{self._count}"

        def push() -> None:
            self._push(repository, blobs, ways, kind, tag)

        push.__name__ = f"push {kind}"
        return push

    def _push(self, repository: str, blobs: list[bytes], ways: list[str], kind: str, tag: str) -> None:
        for blob, way in zip(blobs, ways, strict=True):
            self._push_blob(repository, blob, way)
        listed = [{"mediaType": "text/plain", "digest": str(Digest.of(each)), "size": len(each)} for each in blobs]
        image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": listed[0], "layers": listed[1:]}
        content = json.dumps({**image, "annotations": {"of": tag}}).encode()
        digest = str(Digest.of(content))
        descriptor = {"mediaType": MANIFEST, "digest": digest, "size": len(content)}
        put = [(digest if kind in {"index", "loose"} else tag, content, MANIFEST)]
        if kind == "index":
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor], "annotations": {"of": tag}}
            put.append((tag, json.dumps(index).encode(), INDEX))
        if kind == "referrer":
            signature = json.dumps({**image, "subject": descriptor, "annotations": {"on": tag}}).encode()
            put.append((str(Digest.of(signature)), signature, MANIFEST))
        for reference, manifest, media_type in put:
            path = f"/v2/{repository}/manifests/{reference}"
            status, _, said = self._ask("PUT", path, manifest, {"Content-Type": media_type})
            if status != HTTPStatus.CREATED:
                # A blob was collected before the manifest came: as old as none may be outside of this test.
                raise UnluckyError(f"{path}: {status} {said!r}")
        if kind != "loose":
            with self._book.lock:
                self._book.there |= {(repository, reference): manifest for reference, manifest, _ in put}

    def _push_blob(self, repository: str, blob: bytes, way: str) -> None:
        digest, uploads = Digest.of(blob), f"/v2/{repository}/blobs/uploads/"
        if self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == HTTPStatus.OK:
            return
        if way == "whole":
            status, _, said = self._ask("POST", f"{uploads}?digest={digest}", blob)
        elif way == "mount" and self._ask("POST", f"{uploads}?mount={digest}")[0] == HTTPStatus.CREATED:
            return
        else:
            _, location, _ = self._ask("POST", uploads)
            half = len(blob) // 2
            for part in (blob[:half], blob[half:]):
                self._ask("PATCH", location, part)
            status, _, said = self._ask("PUT", f"{location}?digest={digest}")
        if status != HTTPStatus.CREATED:
            raise UnluckyError(f"{uploads}: {status} {said!r}")

    def _take_back(self) -> Callable[[], None] | None:
        """Return the deletion of something of one's own, of which nobody expects from now on that it is there."""
        with self._book.lock:
            mine = [each for each in self._book.there if each[1].startswith(f"{self.name}-")]
            if not mine:
                return None
            repository, tag = self._random.choice(mine)
            content = self._book.there.pop((repository, tag))
            # What only this tag kept may be collected.
            gone = {str(each["digest"]) for each in json.loads(content).get("manifests", [])}
            gone |= {
                reference
                for (_, reference), other in self._book.there.items()
                if json.loads(other).get("subject", {}).get("digest") == str(Digest.of(content))
            }
            for reference in gone:
                self._book.there.pop((repository, reference), None)

        def delete() -> None:
            for reference in (tag, str(Digest.of(content))):
                status, _, said = self._ask("DELETE", f"/v2/{repository}/manifests/{reference}")
                if status not in {HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND}:
                    self._book.wrong.append(f"deleting {repository}:{reference}: {status} {said!r}")

        return delete


class Puller(Client):
    """Pulls what was acknowledged, and compares it."""

    KIND = "pull"

    def _choose(self) -> Callable[[], None] | None:
        with self._book.lock:
            known = list(self._book.there)
        if not known:
            time.sleep(0.05)
            return None
        return Pull(self, *self._random.choice(known))

    def pull(self, repository: str, reference: str) -> str:
        """Return what is wrong with something, if nobody deleted it meanwhile."""
        content = self._book.there.get((repository, reference))
        if content is None:
            return ""
        status, _, got = self._ask("GET", f"/v2/{repository}/manifests/{reference}")
        trouble = "" if (status, got) == (HTTPStatus.OK, content) else f"manifest: {status} {got[:100]!r}"
        data = json.loads(content)
        for each in [data["config"], *data["layers"]] if "layers" in data and not trouble else ():
            digest = Digest.parse(each["digest"])
            status, _, got = self._ask("GET", f"/v2/{repository}/blobs/{digest}")
            if status != HTTPStatus.OK or hashlib.sha256(got).hexdigest() != digest.hex:
                trouble = f"blob {digest}: {status}, {len(got)} of {each['size']} bytes"
        with self._book.lock:
            return trouble if (repository, reference) in self._book.there else ""


class Pull:
    """One pull, which is tried again as a whole."""

    __name__ = "pull"

    def __init__(self, puller: Puller, repository: str, reference: str) -> None:
        self._puller, self._what = puller, (repository, reference)

    def __call__(self) -> None:
        """Pull it."""
        trouble = self._puller.pull(*self._what)
        if trouble:
            raise AssertionError(f"{':'.join(self._what)}: {trouble}")


@dataclass(frozen=True)
class Result:
    """What came of it; ``wrong`` is empty if all is as it must be."""

    wrong: list[str]
    figures: Mapping[str, object]


def run(folder: Path, *, kills: int, seed: int) -> Result:
    """Push, pull, collect, follow and kill, and look at what is there afterwards."""
    rng = random.Random(seed)  # noqa: S311 - a test
    book, stop, started = Book(), threading.Event(), time.monotonic()
    killed: Counter[str] = Counter()
    with RunningService(folder, reconcile="1h") as service:
        make_fleet(service)
        storage = Storage(service.data / "registry")
        clients = [Pusher(f"p{number}", service, stop, book, rng.randrange(2**32)) for number in range(_PUSHERS)]
        pullers = [Puller(f"q{number}", service, stop, book, rng.randrange(2**32)) for number in range(_PULLERS)]
        followers = [
            Follower(f"f{number}", service, stop, book, rng.randrange(2**32), pdp=PLANES[number % len(PLANES)])
            for number in range(_FOLLOWERS)
        ]
        issuer = Issuer("i", service, stop, book, rng.randrange(2**32))
        everybody: list[Client] = [*clients, *pullers, *followers, issuer]
        for each in everybody:
            each.start()
        collector = _start_collector(storage.root)
        try:
            for number in range(kills):
                time.sleep(rng.uniform(0.05, 1.0))
                whole = rng.random() < 0.3
                killed["whole service" if whole else "worker"] += 1
                _kill(service, whole=whole)
                if number % 2:
                    collector.kill()
                    collector.wait()
                    collector = _start_collector(storage.root)
                    killed["collector"] += 1
            eventually(lambda: len(book.there) >= _ENOUGH, timeout=PATIENCE_SECONDS, what="pushes succeed")
            eventually(lambda: book.done["clone"], timeout=PATIENCE_SECONDS, what="clones succeed")
        finally:
            stop.set()
            for each in everybody:
                each.join(PATIENCE_SECONDS + 30)
            collector.kill()
            collector.wait()
        wrong = [*book.wrong, *(f"{each.name} hangs" for each in everybody if each.is_alive())]
        for each in followers:
            each.cloning("2")()
            desired = service.get(f"/pdps/{each.pdp}")["desired"]["serial"]
            if book.serials[str(each.pdp)] != desired:
                wrong.append(f"{each.pdp} was given {book.serials[str(each.pdp)]}, and is to have {desired}")
        wrong += check(storage).problems
        done = collect(storage, (), grace=timedelta(0))
        checked = check(storage)
        wrong += [*done.problems, *checked.problems]
        wrong += filter(None, (pullers[0].pull(*each) for each in list(book.there)))
    figures: dict[str, object] = {
        "seed": seed,
        "seconds": round(time.monotonic() - started),
        "killed": dict(killed),
        "done": dict(book.done),
        "acknowledged and there": len(book.there),
        "states offered": book.done["issue"],
        "views cloned": book.done["clone"] + book.done["fetch"],
        "garbage at the end": f"{len(done.manifests)} manifests, {len(done.content)} blobs, {done.drafts} drafts",
        "checked": f"{checked.manifests} manifests, {checked.content} blobs, {checked.size:,} bytes",
    }
    return Result(wrong, figures)


def _start_collector(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _COLLECT, str(root)], cwd=ROOT)


def collect_for_ever(root: str) -> None:
    """Collect without a rest, as a process of its own that can be killed."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.1)
        for problem in collect(Storage(Path(root)), (), grace=_GRACE).problems:
            print(f"collector: {problem}", flush=True)


def _kill(service: RunningService, *, whole: bool) -> None:
    """Kill the worker, which is replaced, or all of the service, and start it again."""
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    for pid in [service.pid, *map(int, children)] if whole else map(int, children[:1]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if whole:
        service.stop()
        service.start()
    eventually(lambda: service.get("/status"), timeout=60, what="the service answers again", every=0.2)


def main() -> int:
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))  # noqa: S311 - a test
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ums-registry-chaos-") as scratch:
        result = run(Path(scratch), kills=options.kills, seed=options.seed)
    for name, value in result.figures.items():
        print(f"  {name:<24} {value}")
    for each in result.wrong[:50]:
        print(f"wrong: {each}")
    print("all that was acknowledged is there" if not result.wrong else f"{len(result.wrong)} are wrong")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
