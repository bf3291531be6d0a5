"""Every response has the headers that protect browsers from it; what comes from others is never rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Response

from tests.data_folder import make_data
from tests.unit.test_bootstrap import REFS, VIEW, Service, basic
from tests.unit.usecases.stage import ADMIN, PROD
from ums.bootstrap import RELEASE_REPO_PREFIX, make_services
from ums.domain.fleet import Registration
from ums.web.app import create_app
from ums.web.headers import Secured

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
RENDERED = {"text/html", "text/javascript", "text/css", "image/svg+xml", "image/png"}
PAGES = ("/api/docs", "/api/docs/page.js", "/api/docs/assets/css/swagger-ui.css", "/api/docs/assets/images/swagger.svg")
SCRIPT = b"<script>alert(document.domain)</script>"
DIGEST = f"sha256:{sha256(SCRIPT).hexdigest()}"
METHODS = ("GET", "HEAD", "POST", "DELETE", "NONSENSE")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a service with one data plane."""
    settings, made = make_data(tmp_path_factory.mktemp("headers"), registry_login=True)
    services = make_services(settings)
    services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    yield Service(settings, services, made.token)
    services.health.store.close()  # type: ignore[attr-defined] # this one can


def push(service: Service) -> None:
    """Push a blob that a browser would run."""
    start = f"/v2/ums/x/blobs/uploads/?digest={DIGEST}"
    assert service.client().post(start, data=SCRIPT, headers=basic("token", service.token)).status_code == 201


def check(answer: Response, path: str) -> None:
    """Check what every response must have."""
    headers, what = answer.headers, f"{answer.status} {path}"
    for name, value in ALWAYS.items():
        assert headers.getlist(name) == [value], (what, name)
    (policy,) = headers.getlist("Content-Security-Policy")
    directives = {each.strip().split(" ")[0]: each.strip() for each in policy.split(";")}
    assert directives["default-src"] == "default-src 'none'", what
    assert directives["frame-ancestors"] == "frame-ancestors 'none'", what
    assert "unsafe" not in policy, what
    is_rendered = (answer.mimetype or "").lower() in RENDERED
    is_page = is_rendered and path.startswith("/api/docs")
    is_download = headers.getlist("Content-Disposition") == ["attachment"]
    assert is_download == ("sandbox" in directives), what
    assert "script-src" not in directives or is_page, what
    if is_rendered:
        assert is_page or is_download, what
    if path.startswith("/v2"):
        assert is_download, what
    assert headers.get("Cache-Control"), what


def filled(rule: str) -> str:
    """Return a path of a route."""
    return re.sub(r"<[^>]+>", "x", rule)


def test_every_route_of_the_api_has_them(service: Service) -> None:
    """By every method, with a token and without."""
    client = service.client()
    rules = sorted({rule.rule for rule in create_app(service.services).url_map.iter_rules()})
    assert len(rules) > 50
    for rule in rules:
        path = filled(rule) + ("?seconds=0" if rule.endswith("/stream") else "")
        for method in METHODS:
            for headers in ({}, {"Authorization": f"Bearer {service.token}"}):
                with client.open(path, method=method, headers=headers) as answer:
                    check(answer, path)


def edge_paths() -> list[str]:
    """Return paths of the other surfaces, that exist or do not."""
    names = ("", "tags/list", "manifests/none", "blobs/sha256:00", "blobs/uploads/", "blobs/uploads/1")
    registry = [f"/v2/ums/x/{each}" for each in (*names, f"blobs/{DIGEST}", f"referrers/{DIGEST}")]
    registry += ["/v2", "/v2/", "/v2/../api/docs", "/v2/%00", "/v2/api/docs"]
    git = [
        REFS,
        VIEW,
        f"{RELEASE_REPO_PREFIX}/git-upload-pack",
        f"{RELEASE_REPO_PREFIX}/objects/x",
        "/git/",
        "/git/a/b",
    ]
    views = ["/git/acme/prod/git-upload-pack", "/git/acme/prod/git-receive-pack", "/git/acme/none/info/refs"]
    return [*registry, *git, *views, *PAGES, "/", "/nowhere", "/api/docs/assets/none", "/api/docs/../../etc/passwd"]


@pytest.mark.parametrize("path", edge_paths())
def test_every_other_surface_has_them(service: Service, path: str) -> None:
    """By every method, whoever asks; and errors."""
    push(service)
    client = service.client()
    for method in METHODS:
        for headers in ({}, basic("token", service.token)):
            with client.open(path, method=method, headers=headers) as answer:
                check(answer, path)


@pytest.mark.parametrize("conditions", [{}, {"Range": "bytes=1-3"}, {"Range": "bytes=900-"}, {"If-None-Match": "*"}])
def test_foreign_content_is_a_download(service: Service, conditions: dict[str, str]) -> None:
    """Whole, in part, and where the client has it."""
    push(service)
    login = basic("token", service.token)
    with service.client().get(f"/v2/ums/x/blobs/{DIGEST}", headers={**login, **conditions}) as answer:
        assert answer.status_code in {200, 206, 304, 416}
        check(answer, "/v2/")


def test_over_tls_browsers_are_told_to_stay_there(service: Service) -> None:
    """And only there; a trusted proxy says so, nobody else."""
    name = "Strict-Transport-Security"
    for path in ("/healthz", "/v2/", "/nowhere"):
        assert service.client().get(path, base_url="https://x").headers[name] == "max-age=31536000"
        assert name not in service.client().get(path, headers={"X-Forwarded-Proto": "https"}).headers
        behind = service.client(trusted_proxies=1)
        assert name in behind.get(path, headers={"X-Forwarded-Proto": "https"}).headers


@pytest.mark.parametrize(
    "media_type", ["text/html", "TEXT/HTML; charset=x", "application/xhtml+xml", "image/svg+xml", "x"]
)
@pytest.mark.parametrize(
    "path", ["/", "/v2/a/manifests/x", "/git/x", "/api/docs2", "/api/v1/x", "/API/docs", "/api/docs"]
)
def test_what_a_surface_says_of_itself_does_not_count(path: str, media_type: str) -> None:
    """A type that is not ours is a download, and no surface weakens what protects the others."""
    weak = [(name, "none") for name in (*ALWAYS, "Content-Security-Policy", "Content-Disposition")]

    def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:  # noqa: ANN401 - WSGI's
        start_response("200 OK", [("content-type", media_type), *weak])
        return [SCRIPT]

    answer = Client(Secured(app)).get(path)
    check(answer, path)
    assert (answer.headers.get("Content-Disposition") == "attachment") == (
        path != "/api/docs" or media_type.partition(";")[0].lower() not in RENDERED
    )


def test_what_nobody_foresaw_has_them_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """On every surface."""
    monkeypatch.setattr(type(service.services.authenticate_plane), "by_password", lambda *_: 1 / 0)
    for path in (VIEW, REFS, "/v2/"):
        answer = service.client().get(path, headers=basic("acme/prod", "x"))
        assert answer.status_code == 500
        check(answer, path)


def test_without_this_defence_a_page_is_rendered(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the registry alone answers, a browser would run it: the type that was pushed counts."""
    push(service)
    monkeypatch.setattr("ums.bootstrap.Secured", lambda app: app)
    answer = service.client().get(f"/v2/ums/x/blobs/{DIGEST}", headers=basic("token", service.token))
    assert "Content-Security-Policy" not in answer.headers
    assert "Content-Disposition" not in answer.headers
    assert answer.data == SCRIPT
