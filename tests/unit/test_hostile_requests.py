"""What anybody may send to the edge, made up at random: it is refused or answered, and never a failure of ours."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from tests.data_folder import make_data
from tests.registry_client import files
from tests.unit.test_bootstrap import REFS, VIEW, Service, basic
from tests.unit.usecases.stage import ADMIN, PROD
from ums.bootstrap import make_services
from ums.domain.fleet import Registration

TARGETS = [
    ("GET", VIEW),
    ("POST", "/git/acme/prod/git-upload-pack"),
    ("GET", REFS),
    ("POST", "/git/release-repo/git-upload-pack"),
    ("GET", "/v2/"),
    ("GET", "/v2/ums/a/blobs/sha256:" + "0" * 64),
    ("POST", "/v2/ums/a/blobs/uploads/"),
    ("PATCH", "/v2/ums/a/blobs/uploads/1"),
    ("PUT", "/v2/ums/a/manifests/x"),
    ("GET", "/v2/ums/a/tags/list?n=1"),
    ("POST", "/api/v1/pdps/acme/prod/events"),
    ("GET", "/api/v1/status"),
]
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=80)
"""What a server lets through in a header: it refuses control characters."""
ODD = ["", "+1", "-0", "1_0", "\u00b2", "1e3", "0x1", "9" * 5000]
NUMBERS = st.one_of(TEXT, st.integers().map(str), st.sampled_from(ODD))
RANGES = st.one_of(TEXT, st.builds("bytes={}-{}".format, NUMBERS, NUMBERS), st.builds("{}-{}".format, NUMBERS, NUMBERS))
LOGINS = st.one_of(
    TEXT,
    TEXT.map(lambda text: f"Basic {text}"),
    st.binary(max_size=60).map(lambda content: "Basic " + base64.b64encode(content).decode()),
    st.builds(basic, st.text(max_size=40), st.text(max_size=40)).map(lambda header: header["Authorization"]),
)
WORDS = ["acme", "prod", "info", "refs", "git-upload-pack", "release-repo", "HEAD", "v2", "git", "manifests", "blobs"]
WORDS += ["uploads", "_tags", "sha256:..", "..", ".", "", "%2e%2e", "..%2f..", "\0"]
HEADERS = {
    "HTTP_AUTHORIZATION": LOGINS,
    "HTTP_GIT_PROTOCOL": st.one_of(TEXT, st.integers(0, 9).map("version={}".format)),
    "HTTP_CONTENT_ENCODING": st.one_of(TEXT, st.sampled_from(["gzip", "x-gzip", "deflate", "gzip, gzip"])),
    "HTTP_X_REQUEST_ID": TEXT,
    "HTTP_RANGE": RANGES,
    "HTTP_CONTENT_RANGE": RANGES,
    "HTTP_IF_NONE_MATCH": TEXT,
    "HTTP_IF_RANGE": TEXT,
    "HTTP_X_FORWARDED_FOR": TEXT,
    "HTTP_X_FORWARDED_HOST": TEXT,
    "HTTP_HOST": TEXT,
    "CONTENT_TYPE": TEXT,
    "CONTENT_LENGTH": NUMBERS,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a service with one data plane."""
    settings_, made = make_data(tmp_path_factory.mktemp("service"), registry_login=True)
    services = make_services(settings_)
    services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    yield Service(settings_, services, made.token)
    services.health.store.close()  # type: ignore[attr-defined] # this one can


@pytest.fixture(scope="module")
def client(service: Service) -> Client:
    """Give a client of it, behind a proxy."""
    return service.client(trusted_proxies=1)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    target=st.sampled_from(TARGETS),
    headers=st.fixed_dictionaries({}, optional=HEADERS),
    body=st.binary(max_size=200),
    known=st.booleans(),
)
def test_no_header_makes_the_service_fail(
    service: Service,
    client: Client,
    target: tuple[str, str],
    headers: dict[str, str],
    body: bytes,
    *,
    known: bool,
) -> None:
    """Of somebody unknown or of an admin; nothing is kept of it either."""
    method, path = target
    before = files(service.settings.registry)
    if known:
        headers = {**headers, "HTTP_AUTHORIZATION": basic("x", service.token)["Authorization"]}
    overrides = {"CONTENT_LENGTH": str(len(body)), **headers, "wsgi.input": io.BytesIO(body)}
    answer = client.open(EnvironBuilder(path=path, method=method, environ_overrides=overrides), buffered=True)
    assert answer.status_code < 500, answer.data
    assert all(line.isprintable() for _, line in answer.headers)
    if not known:
        assert answer.status_code in {400, 401, 404, 413, 415, 429}
        assert files(service.settings.registry) == before


@pytest.mark.parametrize("name", ["CONTENT_LENGTH", "HTTP_RANGE", "HTTP_CONTENT_RANGE"])
@pytest.mark.parametrize(("method", "path"), TARGETS)
def test_no_number_is_too_long(service: Service, client: Client, method: str, path: str, name: str) -> None:
    """Python reads none of more than some thousand digits."""
    for value in (many := "9" * 5000, f"bytes={many}-", f"bytes=-{many}", f"{many}-{many}"):
        headers = {**basic("x", service.token), "wsgi.input": io.BytesIO(b"{}"), "CONTENT_LENGTH": "2", name: value}
        headers["HTTP_AUTHORIZATION"] = headers.pop("Authorization")
        answer = client.open(EnvironBuilder(path=path, method=method, environ_overrides=headers), buffered=True)
        assert answer.status_code < 500, answer.data


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=12)), max_size=8),
    prefix=st.sampled_from(["/git/", "/v2/", "/git/acme/", "/git/release-repo/", "/v2/ums/", "/"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
)
def test_no_path_leads_out(service: Service, client: Client, parts: list[str], prefix: str, method: str) -> None:
    """Whatever is in a name, and although an admin asks: no failure, and no file beside those of an upload."""
    builder = EnvironBuilder(path="/", method=method, headers=[*basic("x", service.token).items()], data=b"{}")
    environ = builder.get_environ()
    environ["PATH_INFO"] = (prefix + "/".join(parts)).encode(errors="replace").decode("latin-1")
    _, status, _ = run_wsgi_app(client.application, environ, buffered=True)
    assert int(status[:3]) < 500, status
    roots = {"blobs", "callers", "repositories"}
    assert all(name.partition("/")[0] in roots for name in files(service.settings.registry))
