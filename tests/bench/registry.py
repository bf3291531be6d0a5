"""The embedded registry beside distribution: one large blob pushed and pulled, in turns.

``python -m tests.bench.registry --size 1024`` for this alone; the size is in MiB.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from tests.e2e.toolchain import tool
from tests.processes import Process, free_port, listens
from tests.running_service import RunningService

MIB = 1024 * 1024
_CHUNK = MIB
_ROUNDS = 3
_BLOCK = os.urandom(_CHUNK)


@dataclass
class Registry:
    """A server under test, and what was measured of it, in MiB/s."""

    name: str
    port: int
    pid: int
    headers: dict[str, str] = field(default_factory=dict)
    pushes: list[float] = field(default_factory=list)
    pulls: list[float] = field(default_factory=list)

    def memory(self) -> tuple[float, float]:
        """Return how much is resident now, and how much was at most: in MiB, of the process that answers."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        lines = dict(line.split(":", 1) for line in status.splitlines())
        return int(lines["VmRSS"].split()[0]) / 1024, int(lines["VmHWM"].split()[0]) / 1024

    def push(self, number: int, size: int, digest: str) -> None:
        """Push a blob in one PATCH, as Docker does."""
        started = time.perf_counter()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)) as connection:
            connection.request("POST", "/v2/bench/blob/blobs/uploads/", headers={**self.headers, "Content-Length": "0"})
            location = self._answer(connection, HTTPStatus.ACCEPTED)
            connection.putrequest("PATCH", location)
            for key, value in {**self.headers, "Content-Type": "application/octet-stream"}.items():
                connection.putheader(key, value)
            connection.putheader("Content-Length", str(size))
            connection.endheaders()
            for chunk in content(number, size):
                connection.send(chunk)
            location = self._answer(connection, HTTPStatus.ACCEPTED)
            glue = "&" if "?" in location else "?"
            connection.request(
                "PUT", f"{location}{glue}digest={digest}", headers={**self.headers, "Content-Length": "0"}
            )
            self._answer(connection, HTTPStatus.CREATED)
        self.pushes.append(size / MIB / (time.perf_counter() - started))

    def pull(self, size: int, digest: str) -> None:
        """Pull it; that it is right was checked when it was pushed."""
        buffer = memoryview(bytearray(_CHUNK))
        started = time.perf_counter()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)) as connection:
            connection.request("GET", f"/v2/bench/blob/blobs/{digest}", headers=self.headers)
            response = connection.getresponse()
            assert response.status == HTTPStatus.OK
            got = 0
            while read := response.readinto(buffer):
                got += read
        assert got == size
        self.pulls.append(size / MIB / (time.perf_counter() - started))

    def _answer(self, connection: http.client.HTTPConnection, status: HTTPStatus) -> str:
        response = connection.getresponse()
        said = response.read()
        assert response.status == status, said
        location = response.headers["Location"].removeprefix(f"http://127.0.0.1:{self.port}")
        assert location.startswith("/"), location
        return location


def content(number: int, size: int) -> Iterator[bytes]:
    """Yield as many random bytes, other ones for each number; making them costs next to nothing."""
    for start in range(0, size, _CHUNK):
        mark = number.to_bytes(8, "big") + start.to_bytes(8, "big")
        yield (mark + _BLOCK)[: min(_CHUNK, size - start)]


def bench_registry(folder: Path, *, size: int, rounds: int = _ROUNDS) -> None:
    """Print throughput and memory of both; ``size`` in bytes."""
    print(f"\npushing and pulling a blob of {size / MIB:.0f} MiB")
    folder.mkdir(parents=True, exist_ok=True)
    config, port = folder / "registry.yaml", free_port()
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'store'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error}}\n"
    )
    with (
        Process([tool("registry"), "serve", str(config)], log=folder / "registry.log") as process,
        RunningService(folder / "service") as service,
    ):
        process.wait_until(listens(port))
        service.get("/status")  # so that there is a process that answers
        login = base64.b64encode(f"token:{service.token}".encode()).decode()
        worker = int(Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()[0])
        ours = Registry("the embedded registry", service.port, worker, {"Authorization": f"Basic {login}"})
        theirs = Registry("distribution", port, process.pid)
        before = {each.name: each.memory()[0] for each in (ours, theirs)}
        for number in range(rounds):
            checksum = hashlib.sha256()
            for chunk in content(number, size):
                checksum.update(chunk)
            digest = f"sha256:{checksum.hexdigest()}"
            for each in (ours, theirs):
                each.push(number, size, digest)
            for each in (ours, theirs):
                each.pull(size, digest)
        for each in (ours, theirs):
            push, pull = statistics.median(each.pushes), statistics.median(each.pulls)
            against = [statistics.median(theirs.pushes), statistics.median(theirs.pulls)]
            print(
                f"  {each.name:<24} push {push:7.0f} MiB/s {push / against[0]:5.2f} x   pull {pull:7.0f} MiB/s"
                f" {pull / against[1]:5.2f} x   resident {before[each.name]:4.0f} MiB, at most {each.memory()[1]:4.0f}"
            )


def main() -> int:
    """Measure, with options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ums-bench-") as scratch:
        bench_registry(Path(scratch), size=options.size * MIB, rounds=options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
