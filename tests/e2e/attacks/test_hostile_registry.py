"""Whoever stands before the registry, or runs it: blobs without end, tags that move, releases that are gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.e2e.attacks.stage import connect, content, health, small_bundle, told
from tests.e2e.cluster import Cluster
from tests.e2e.toolchain import tool
from tests.processes import Process, eventually, free_port, listens
from tests.running_service import RunningService

_CHUNK = b"\0" * 65_536
_ENOUGH = 4 << 30
"""Who has poured this much was not stopped."""
_PASSED_ON = {"content-type", "docker-content-digest", "location", "range", "oci-subject", "oci-filters-applied"}


@dataclass
class Front:
    """Passes everything on to a registry, but for the blobs that it pours out instead.

    Attributes:
        upstream: address of the registry.
        endless: digests of the blobs.
        poured: bytes of them so far.
        gone: digests that it tells Flux are not there.

    """

    upstream: str
    endless: set[str] = field(default_factory=set)
    poured: int = 0
    gone: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve until the end of the block; give the address."""
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is given
                """Say nothing."""

            def _serve(self) -> None:
                with suppress(ConnectionError):
                    front.answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815 - names are given

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield f"127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        last = handler.path.rpartition("/")[2]
        if handler.command == "GET" and last in self.endless:
            self._pour(handler)
            return
        if last in self.gone and "flux" in handler.headers.get("User-Agent", "").lower():
            handler.send_response(404)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in {"host", "connection"}}
        url = f"http://{self.upstream}{handler.path}"
        found = requests.request(handler.command, url, headers=headers, data=body, timeout=30)
        handler.send_response(found.status_code)
        for name, value in found.headers.items():
            if name.lower() in _PASSED_ON:
                handler.send_header(name, value.replace(f"http://{self.upstream}", ""))
        length = found.headers.get("Content-Length", "0") if handler.command == "HEAD" else str(len(found.content))
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(found.content)

    def _pour(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/octet-stream")
        handler.end_headers()
        handler.close_connection = True
        while self.poured < _ENOUGH:
            handler.wfile.write(_CHUNK)
            with self.lock:
                self.poured += len(_CHUNK)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, str]]:
    """Return what stands in front of a registry, and its address."""
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    command: list[str | Path] = [
        tool("crane"),
        "registry",
        "serve",
        "--address",
        f"127.0.0.1:{port}",
        "--disk",
        str(folder),
    ]
    made = Front(f"127.0.0.1:{port}")
    with Process(command, log=folder.with_suffix(".log")) as process:
        process.wait_until(listens(port))
        with made.running() as address:
            yield made, address


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, front: tuple[Front, str]
) -> Iterator[RunningService]:
    """Return a service with one healthy data plane that pulls through the front."""
    with RunningService(tmp_path_factory.mktemp("attacked"), registry=f"{front[1]}/ums") as running:
        connect(running, cluster)
        yield running


def resident(process: Process) -> int:
    """Return the bytes of memory that a process has."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) * 1024


def test_endless_content_is_hung_up_on_and_what_runs_goes_on(
    cluster: Cluster, service: RunningService, front: tuple[Front, str], tmp_path: Path
) -> None:
    """Neither the memory of source-controller grows with it, nor its disk; mended, the release arrives."""
    pouring, address = front
    service.publish(small_bundle(tmp_path, value="2"), "1.1.0")
    manifest = requests.get(f"http://{address}/v2/ums/small/config/manifests/1.1.0", timeout=10).json()
    before = resident(cluster.controllers["source-controller"])
    pouring.endless.add(manifest["layers"][0]["digest"])
    service.promote("small@1.1.0")
    eventually(
        lambda: cluster.ready("ocirepository", "small-config")[0] == "False" and pouring.poured,
        timeout=180,
        what="the source is refused",
        every=0.5,
    )
    message = cluster.ready("ocirepository", "small-config")[1]
    eventually(lambda: health(service) == "failed", timeout=180, what="the service says so", every=0.5)
    assert pouring.poured < _ENOUGH
    assert resident(cluster.controllers["source-controller"]) < before + (256 << 20)
    assert content(cluster) == "1"
    told("a layer without end", "source-controller", f"after {pouring.poured >> 10} KiB: {message}")
    pouring.endless.clear()
    eventually(lambda: content(cluster) == "2", timeout=180, what="it arrives, once mended", every=0.5)


def test_a_tag_that_moves_moves_nobody(
    cluster: Cluster, service: RunningService, front: tuple[Front, str], tmp_path: Path
) -> None:
    """Another artifact of ours, rightly signed, under the tag of what runs: nobody follows tags."""
    repository = f"http://{front[1]}/v2/ums/small/config/manifests"
    service.publish(small_bundle(tmp_path, value="moved"), "8.0.0")
    manifest = requests.get(f"{repository}/8.0.0", timeout=10)
    running, before = "1.1.0", content(cluster)
    headers = {"Content-Type": manifest.headers["Content-Type"]}
    assert (
        requests.put(f"{repository}/{running}", data=manifest.content, headers=headers, timeout=10).status_code == 201
    )
    assert requests.get(f"{repository}/{running}", timeout=10).content == manifest.content
    at = cluster.get("ocirepository", "small-config")["status"]["artifact"]["lastUpdateTime"]
    annotation = "reconcile.fluxcd.io/requestedAt=moved"
    cluster.kubectl("annotate", "ocirepository", "small-config", "-n", "ums-system", "--overwrite", annotation)
    eventually(
        lambda: cluster.get("ocirepository", "small-config")["status"].get("lastHandledReconcileAt") == "moved",
        timeout=120,
        what="source-controller has looked",
        every=0.5,
    )
    assert cluster.get("ocirepository", "small-config")["status"]["artifact"]["lastUpdateTime"] == at
    assert content(cluster) == before
    told("a tag that was moved", "source-controller, which follows a digest", f"still {before}")


def test_a_registry_of_the_past_takes_nothing_away(
    cluster: Cluster, service: RunningService, front: tuple[Front, str], tmp_path: Path
) -> None:
    """Put back, while the release repo is current: what runs goes on, and what is missing arrives once it is there."""
    pouring, address = front
    before = content(cluster)
    service.publish(small_bundle(tmp_path, value="3"), "1.2.0")
    found = requests.head(f"http://{address}/v2/ums/small/config/manifests/1.2.0", timeout=10)
    pouring.gone.add(found.headers["Docker-Content-Digest"])
    service.promote("small@1.2.0")
    eventually(
        lambda: cluster.ready("ocirepository", "small-config")[0] == "False",
        timeout=180,
        what="the source misses it",
        every=0.5,
    )
    message = cluster.ready("ocirepository", "small-config")[1]
    eventually(lambda: health(service) == "failed", timeout=180, what="the service says so", every=0.5)
    assert content(cluster) == before
    told("a registry that was put back", "nobody needs to: what runs goes on", message)
    pouring.gone.clear()
    eventually(lambda: content(cluster) == "3", timeout=180, what="it arrives, once it is there", every=0.5)
