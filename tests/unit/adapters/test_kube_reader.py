"""Reading a cluster, on a server that speaks TLS and answers what a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.adapters.test_webhook_sender import certified
from ums.adapters.kube_reader import KubeReader
from ums.domain.errors import ForbiddenError, InvalidInputError, UmsError, UnauthenticatedError, UnavailableError

DEPLOYMENTS = "/apis/apps/v1/namespaces/flux-system/deployments"


@dataclass
class Kube:
    """An API of a cluster.

    Attributes:
        answers: by path, the pages of what it answers; bytes stand as they are.
        statuses: by path, where it is not 200.
        accepted: which forms of an answer were asked for.
        patched: what was to be changed, by path.

    """

    authorities: Path
    answers: dict[str, list[Any]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, list[str]], str]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    patched: list[tuple[str, Any]] = field(default_factory=list)
    url: str = ""

    def reader(self) -> KubeReader:
        """Return what reads it."""
        return KubeReader(self.url, "a-token", self.authorities)


@contextmanager
def running_kube(folder: Path) -> Iterator[Kube]:
    """Run one."""
    context, chain = certified(folder, "localhost")
    kube = Kube(chain)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            kube.asked.append((parts.path, query, self.headers.get("Authorization", "")))
            kube.accepted.append(self.headers.get("Accept", ""))
            self._answer(parts.path, query)

        def do_PATCH(self) -> None:
            assert self.headers["Content-Type"] == "application/merge-patch+json"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kube.patched.append((self.path, json.loads(body)))
            self._answer(self.path, {})

        def _answer(self, path: str, query: Mapping[str, list[str]]) -> None:
            pages = kube.answers.get(path, [{}])
            page = pages[int(query.get("continue", ["0"])[0])]
            content = page if isinstance(page, bytes) else json.dumps(page).encode()
            self.send_response(kube.statuses.get(path, 200))
            self.send_header("Location", f"{kube.url}/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    kube.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield kube
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Kube]:
    """Return an API that answers nothing yet."""
    with running_kube(tmp_path) as running:
        yield running


def status(image: str, image_id: str = "", state: str = "running") -> dict[str, Any]:
    """Return what a node says of a container."""
    return {"image": image, "imageID": image_id, "state": {state: {}}}


def test_images_are_those_that_run_page_by_page(kube: Kube) -> None:
    """By digest where it says from where; sidecars too, and what no node told of yet."""
    first = [
        {"status": {"containerStatuses": [status("r/a:1", "r/a@sha256:1"), status("r/b:1", "x@y", "terminated")]}},
        {"status": {"containerStatuses": [status("r/c:1", "docker-pullable://r/c@sha256:3")]}},
    ]
    second = [
        {"status": {"containerStatuses": [status("r/d:1", "sha256:4")], "initContainerStatuses": [status("r/e:1")]}},
        {"spec": {"containers": [{"image": "r/f:1"}]}},
    ]
    kube.answers["/api/v1/pods"] = [{"metadata": {"continue": "1"}, "items": first}, {"metadata": {}, "items": second}]
    assert list(kube.reader().images()) == ["r/a@sha256:1", "r/c@sha256:3", "r/d:1", "r/e:1", "r/f:1"]
    assert [query["limit"] for _, query, _ in kube.asked] == [["100"], ["100"]]
    assert {authorization for *_, authorization in kube.asked} == {"Bearer a-token"}


def test_versions_are_those_of_the_server_and_of_labels(kube: Kube) -> None:
    """Each once; a Deployment without the label says nothing."""
    kube.answers["/version"] = [{"gitVersion": "v1.34.1+k3s1"}]
    labels = [{"app.kubernetes.io/version": "v2.9.1"}, {}, None, {"app.kubernetes.io/version": "v2.9.0"}]
    kube.answers[DEPLOYMENTS] = [{"items": [{"metadata": {"labels": each}} for each in [*labels, labels[0]]]}]
    assert kube.reader().kubernetes_version() == "v1.34.1+k3s1"
    assert kube.reader().flux_versions("flux-system") == ["v2.9.0", "v2.9.1"]
    assert kube.asked[-1][1]["labelSelector"] == ["app.kubernetes.io/part-of=flux"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, UnauthenticatedError),
        (403, ForbiddenError),
        (302, UnavailableError),
        (410, UnavailableError),
        (500, UnavailableError),
    ],
)
def test_a_no_is_told_as_what_it_is(kube: Kube, code: int, kind: type[UmsError]) -> None:
    """And no redirect takes the token elsewhere."""
    kube.statuses["/version"] = code
    with pytest.raises(kind, match=str(code)):
        kube.reader().kubernetes_version()
    assert [path for path, *_ in kube.asked] == ["/version"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"[" * 100_000, b'{"items": 5}', b'{"items": {}, "metadata": 5}']
)
def test_what_is_no_list_is_not_believed(kube: Kube, content: bytes) -> None:
    """As any other server that answers there."""
    kube.answers["/api/v1/pods"] = [content]
    with pytest.raises(UnavailableError):
        list(kube.reader().images())


@pytest.mark.parametrize("pod", [5, {}, {"status": 5}, {"spec": {}}, {"status": {"containerStatuses": [5]}}])
def test_a_pod_that_is_none_is_not_believed(kube: Kube, pod: object) -> None:
    """Whatever is wrong with it."""
    kube.answers["/api/v1/pods"] = [{"items": [pod]}]
    with pytest.raises(UnavailableError):
        list(kube.reader().images())


def test_a_list_without_end_is_ended(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages, and in bytes."""
    kube.answers["/api/v1/pods"] = [{"metadata": {"continue": "0"}, "items": []}]
    monkeypatch.setattr("ums.adapters._kube._MAX_PAGES", 3)
    with pytest.raises(UnavailableError, match="more than 300 items"):
        list(kube.reader().images())
    assert len(kube.asked) == 3
    monkeypatch.setattr("ums.adapters._kube._MAX_ANSWER", 10)
    with pytest.raises(UnavailableError, match="more than 10 bytes"):
        list(kube.reader().images())


def test_the_token_goes_to_nobody_who_is_not_the_cluster(kube: Kube, tmp_path: Path) -> None:
    """Not without TLS, and not to whom the cluster's authority does not vouch for."""
    with pytest.raises(InvalidInputError, match="https"):
        KubeReader("http://localhost", "a-token", kube.authorities)
    (tmp_path / "other").mkdir()
    _, other = certified(tmp_path / "other", "localhost")
    with pytest.raises(UnavailableError, match="does not answer"):
        KubeReader(kube.url, "a-token", other).kubernetes_version()
    assert not kube.asked
