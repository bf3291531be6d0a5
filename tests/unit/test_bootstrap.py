"""The service as it is wired: what is at the edge is observed like the API."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from tests.data_folder import make_data
from tests.processes import eventually
from tests.unit.usecases.stage import ADMIN, PROD
from ums.adapters._git import Git
from ums.adapters._git_reader import Objects
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.bootstrap import RELEASE_REPO_PREFIX, back_up_data, collect_daily, make_services, make_wsgi
from ums.config import Settings
from ums.domain.digest import Digest
from ums.domain.fleet import Registration
from ums.domain.identity import Holder
from ums.domain.oci import INDEX
from ums.domain.security_log import SecurityKind
from ums.domain.throttling import Rate, Throttle
from ums.edge.registry_storage import Storage
from ums.services import Services
from ums.usecases.instruct import Why
from ums.waiting import WouldWaitError, at_once

LOCAL = {"REMOTE_ADDR": "127.0.0.1"}
VIEW = "/git/acme/prod/info/refs?service=git-upload-pack"
REFS = f"{RELEASE_REPO_PREFIX}/info/refs?service=git-upload-pack"


@dataclass
class Service:
    """A service, without a server."""

    settings: Settings
    services: Services
    token: str

    def client(self, **settings: Any) -> Client:  # noqa: ANN401 - passes through
        """Return who asks it."""
        return Client(make_wsgi(replace(self.settings, **settings), self.services))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a service with one data plane."""
    settings, made = make_data(tmp_path_factory.mktemp("service"), registry_login=True)
    services = make_services(settings)
    services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    yield Service(settings, services, made.token)
    services.health.store.close()  # type: ignore[attr-defined] # this one can


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of a login."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def requests_of(caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    """Return surface, route, status and subject of each request that was logged."""
    fields = ("surface", "route", "status", "subject")
    return [tuple(vars(each)[name] for name in fields) for each in caplog.records if each.msg == "request"]


@pytest.mark.parametrize(
    ("repository", "status"),
    [("ums/platform", 202), ("ums/platform/cilium", 202), ("ums/flux", 403), ("platform", 403), ("platform/x", 403)],
)
def test_who_may_publish_one_bundle_pushes_that_below_the_fleets_prefix_alone(
    service: Service, repository: str, status: int
) -> None:
    """Elsewhere a path that begins with its name is not that bundle."""
    holder = Holder("ci", frozenset({"publisher"}), bundles=frozenset({"platform"}))
    token = service.services.issue_token(holder, expires=None, by=ADMIN)
    path = f"/v2/{repository}/blobs/uploads/"
    answer = service.client().post(path, headers=basic("token", token), environ_base=LOCAL)
    assert answer.status_code == status


def test_one_holder_has_so_many_uploads_with_all_their_tokens(service: Service) -> None:
    """Another token of the same holder gives no more room; another holder has their own."""
    holders = [Holder(name, frozenset({"publisher"})) for name in ("eve", "eve", "ada")]
    logins = [basic("token", service.services.issue_token(each, expires=None, by=ADMIN)) for each in holders]
    client = service.client()
    for login, count, status in ((logins[0], 60, 202), (logins[1], 40, 202), (logins[1], 5, 429), (logins[2], 1, 202)):
        answers = {client.post("/v2/ums/quota/blobs/uploads/", headers=login).status_code for _ in range(count)}
        assert answers == {status}


def test_what_flux_fetches_is_read_strictly(service: Service) -> None:
    """Below the prefix of the fleet, as ums.yaml says it, and not elsewhere."""
    headers, client = basic("token", service.token), service.client()
    content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "comment": "x"}).encode()
    for repository, status in (("ums/platform", 400), ("mirror/platform", 201)):
        path = f"/v2/{repository}/manifests/strict"
        answer = client.put(path, data=content, content_type=INDEX, headers=headers)
        assert answer.status_code == status, answer.text


def test_the_edge_is_told_like_the_api(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Who it was once that is proven, and never by which credential. A poll that succeeds is only counted."""
    caplog.set_level(logging.INFO)
    objects = service.services.bootstrap_data_plane(PROD, by=ADMIN)
    login = next(each["stringData"] for each in objects if "username" in each.get("stringData", {}))
    client = service.client()
    for path, headers in (
        (REFS, {}),
        (REFS, basic(login["username"], "wrong")),
        (REFS, basic(login["username"], login["password"])),
        (f"{RELEASE_REPO_PREFIX}/objects/secret", basic("x", service.token)),
        ("/v2/", basic("x", service.token)),
        ("/v2/ums/platform/manifests/1.0.0", basic("ums-service", "wrong")),
        (VIEW, basic(login["username"], login["password"])),
        (VIEW, basic(login["username"], "wrong")),
        ("/healthz", {}),
    ):
        client.get(path, headers=headers, buffered=True)
    assert requests_of(caplog) == [
        ("git", "/info/refs", 401, None),
        ("git", "/info/refs", 401, None),
        ("git", "/info/refs", 403, "acme/prod"),
        ("git", "other", 403, "admin"),
        ("registry", "/v2/", 200, "admin"),
        ("registry", "/v2/<name>/manifests", 401, None),
        ("view", "/<org>/<pdp>/info/refs", 401, None),
        ("api", "/healthz", 200, None),
    ]
    for secret in (service.token, login["password"], "secret"):
        assert secret not in caplog.text


def test_who_sees_one_organization_alone_reads_no_release_repo(service: Service) -> None:
    """Everybody is in it, and nobody can cut it; what is in the registry is for all. It is told of."""
    client, services = service.client(), service.services
    for orgs, expected in ((frozenset[str](), (200, 200)), (frozenset({"acme"}), (403, 200))):
        token = services.issue_token(Holder("olga", frozenset({"viewer"}), orgs=orgs), expires=None, by=ADMIN)
        found = (client.get(path, headers=basic("x", token), buffered=True).status_code for path in (REFS, "/v2/"))
        assert tuple(found) == expected
    denied = services.security.log.newest(limit=1, kind=SecurityKind.PERMISSION_DENIED)[0]
    assert denied.subject == "olga"
    assert "read the release repo" in denied.what


def test_what_the_edge_refuses_is_told_with_the_address(service: Service) -> None:
    """By the name that it claims if that is a data plane's; who begins without a credential was not refused."""
    objects = service.services.bootstrap_data_plane(PROD, by=ADMIN)
    login = next(each["stringData"] for each in objects if "username" in each.get("stringData", {}))
    log = service.services.security.log
    head = log.head()
    assert head is not None
    client = service.client()
    push = "/v2/ums/platform/blobs/uploads/"
    right, wrong = basic(login["username"], login["password"]), basic(login["username"], "wrong")
    for number, (method, path, headers) in enumerate(
        (
            ("GET", REFS, {}),
            ("GET", REFS, wrong),
            ("GET", REFS, right),
            ("GET", VIEW, right),
            ("GET", VIEW.replace("prod", "other"), right),
            ("GET", VIEW.replace("upload", "receive"), right),
            ("GET", "/v2/", basic("ums-service", "wrong")),
            ("GET", "/v2/", basic("ums_token-as-a-user", "x")),
            ("POST", push, right),
            ("POST", push, wrong),
        )
    ):
        # Each from elsewhere: of one address only the first in a minute is told at once.
        outside = {"REMOTE_ADDR": f"192.0.2.{number}"}
        client.open(path, method=method, headers=headers, environ_base=outside, buffered=True)
    told = [(each.kind, each.subject, each.what, each.address) for each in log.read(after=head.seq, limit=99)]
    assert told == [
        ("data-plane.refused", "", '{"claims":"acme/prod","proof":"password"}', "192.0.2.1"),
        ("permission.denied", "acme/prod", '{"request":"read the release repo"}', "192.0.2.2"),
        ("permission.denied", "acme/prod", '{"request":"read the view of acme/other"}', "192.0.2.4"),
        ("permission.denied", "acme/prod", '{"request":"push to the view of acme/prod"}', "192.0.2.5"),
        ("authentication.failed", "", '{"claims":"ums-service"}', "192.0.2.6"),
        ("authentication.failed", "", "{}", "192.0.2.7"),
        ("permission.denied", "acme/prod", '{"request":"push to ums/platform"}', "192.0.2.8"),
        ("data-plane.refused", "", '{"claims":"acme/prod","proof":"password"}', "192.0.2.9"),
    ]


def test_who_may_delete_from_the_registry(service: Service) -> None:
    """Admins of that bundle for every organization; nobody who may only publish, and no data plane. It is told of."""
    client, services = service.client(), service.services
    objects = services.bootstrap_data_plane(PROD, by=ADMIN)
    login = next(each["stringData"] for each in objects if "username" in each.get("stringData", {}))
    plane = basic(login["username"], login["password"])

    def token(role: str, **limits: frozenset[str]) -> dict[str, str]:
        return basic("x", services.issue_token(Holder("anna", frozenset({role}), **limits), expires=None, by=ADMIN))

    path = f"/v2/ums/platform/blobs/sha256:{'a' * 64}"
    platform, other, outside = frozenset({"platform"}), frozenset({"other"}), {"REMOTE_ADDR": "192.0.2.31"}
    for headers, expected in (
        (token("admin"), 404),
        (token("admin", bundles=platform), 404),
        (token("admin", bundles=other), 403),
        (token("admin", orgs=frozenset({"acme"})), 403),
        (token("release-engineer"), 403),
        (plane, 403),
        (basic("x", "wrong"), 401),
        ({}, 401),
    ):
        answer = client.delete(path, headers=headers, environ_base=outside, buffered=True)
        assert answer.status_code == expected
    denied = services.security.log.newest(limit=1, kind=SecurityKind.PERMISSION_DENIED)[0]
    assert (denied.subject, denied.what) == ("acme/prod", '{"request":"delete from ums/platform"}')


@pytest.mark.parametrize(("repository", "status"), [("ums/platform", 409), ("umsx/platform", 201), ("ums", 201)])
def test_tags_stay_below_the_prefix_of_the_fleet(service: Service, repository: str, status: int) -> None:
    """Elsewhere they move."""
    client, headers = service.client(), basic("x", service.token)
    for number, expected in ((1, 201), (2, status)):
        answer = client.put(
            f"/v2/{repository}/manifests/v1",
            data=json.dumps(
                {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"n": str(number)}}
            ),
            content_type=INDEX,
            headers=headers,
            buffered=True,
        )
        assert answer.status_code == expected


def test_the_daily_collection(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """It says what it removed, and nothing where there is no embedded registry."""
    caplog.set_level(logging.INFO)
    client, headers, content = service.client(), basic("x", service.token), b"stray"
    collect_daily(Settings(service.settings.data / "nothing"), service.services)
    digest = Digest.of(content)
    url = f"/v2/ums/platform/blobs/uploads/?digest={digest}"
    assert client.post(url, data=content, headers=headers, buffered=True).status_code == 201
    then = time.time() - 2 * 24 * 3600
    for path in service.settings.registry.rglob("*"):
        os.utime(path, (then, then))
    collect_daily(service.settings, service.services)
    assert client.get(f"/v2/ums/platform/blobs/{digest}", headers=headers, buffered=True).status_code == 404
    assert [each.msg for each in caplog.records].count("collected") == 1


def test_a_backup_and_a_collection_wait_for_each_other(service: Service, tmp_path: Path) -> None:
    """While something is removed nothing is read of it; without the registry nobody waits."""
    storage, target = Storage(service.settings.registry), tmp_path / "backup.tar"
    made = threading.Thread(target=lambda: back_up_data(service.settings, target, registry=True))
    with storage.held(alone=True):
        made.start()
        back_up_data(service.settings, tmp_path / "other.tar", registry=False)
        assert not target.exists()
    made.join(30)
    assert target.exists()


def test_whoever_guesses_is_slowed_down_and_nobody_else(service: Service) -> None:
    """Of Git and of the registry; a right credential is let in from the same address."""
    services = service.services
    services = replace(services, wrong_tokens=Throttle(Rate(2, timedelta(seconds=10))))
    client, wrong = Client(make_wsgi(service.settings, services)), basic("x", "ums_wrong")
    found = [client.get(path, headers=wrong, buffered=True) for path in (REFS, "/v2/", REFS, "/v2/")]
    assert [each.status_code for each in found] == [401, 401, 429, 429]
    assert found[-1].headers["Retry-After"] in {"9", "10"}
    assert client.get(REFS, headers=basic("x", service.token), buffered=True).status_code == 200
    elsewhere = {"REMOTE_ADDR": "192.0.2.9"}
    assert client.get(REFS, headers=wrong, environ_base=elsewhere, buffered=True).status_code == 401


def test_commits_are_timed(service: Service) -> None:
    """The one that registered the data plane was."""
    text = service.client().get("/metrics", environ_base=LOCAL).text
    assert 'ums_commit_duration_seconds_count{result="recorded"} 1.0' in text
    assert 'ums_data_planes{channel="edge",health="unknown"} 1.0' in text


def test_metrics_are_not_for_clients_of_a_proxy_on_this_machine(service: Service) -> None:
    """Whether the proxy is trusted or not; and a header of one's own opens nothing."""
    for proxies in (0, 1):
        client = service.client(trusted_proxies=proxies)
        assert client.get("/metrics", environ_base=LOCAL, headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401
        assert client.get("/metrics", environ_base=LOCAL, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
        assert client.get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 401
        bearer = {"Authorization": f"Bearer {service.token}", "X-Forwarded-For": "192.0.2.7"}
        assert client.get("/metrics", environ_base=LOCAL, headers=bearer).status_code == 200


def test_ready_looks_at_the_disk_of_the_data_folder(service: Service) -> None:
    """All are wired. A file that is open still answers after it is gone, and would be missed at the next start."""
    checks = service.client().get("/readyz", environ_base=LOCAL).get_json()["checks"]
    assert [each["name"] for each in checks] == ["release-repo", "database", "loop", "disk", "clock"]
    database = service.settings.database_file
    assert database is not None
    for path in (database, service.settings.state_key):
        path.rename(path.with_suffix(".away"))
        answer = service.client().get("/readyz", environ_base=LOCAL)
        path.with_suffix(".away").rename(path)
        assert answer.status_code == 503
        assert f"{path.name} cannot be looked at" in answer.text
        assert str(path.parent) not in answer.text
    assert service.client().get("/readyz", environ_base=LOCAL).status_code == 200


def test_commits_name_the_newest_security_event(service: Service) -> None:
    """On main; what Flux reads does not depend on it."""
    anchor = service.services.security.log.head()
    service.services.change_data_plane(PROD, lambda each: replace(each, labels={"a": "b"}), Why(ADMIN, "a test"))
    git = Git(service.settings.release_repo)
    assert f"\nUMS-Security-Log: {anchor}\n" in git.run("cat-file", "commit", "main").decode()
    assert b"UMS-Security-Log" not in git.run("cat-file", "commit", "delivery")


def polls_counted(service: Service) -> float:
    """Return how many polls the metrics tell of."""
    text = service.services.meter.render(None).decode()
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("ums_http_requests_total{") and 'surface="view"' in line
    )


def test_a_poll_is_answered_without_waiting(service: Service) -> None:
    """With the same words, and counted; as long as it was seen a moment ago where the branches are."""
    client, login = service.client(), service.services.bootstrap_data_plane(PROD, by=ADMIN)
    known = next(each["stringData"] for each in login if "username" in each.get("stringData", {}))
    headers = basic(known["username"], known["password"])

    def asked_twice() -> bool:
        before, first = polls_counted(service), client.get(VIEW, headers=headers, buffered=True)
        with at_once():
            again = client.get(VIEW, headers=headers, buffered=True)
        assert polls_counted(service) == before + 2
        return (first.status_code, first.data) == (again.status_code, again.data) == (200, first.data)

    assert eventually(asked_twice, timeout=10, what="the second within a moment of the first")
    eventually(lambda: waits(client, VIEW, headers), timeout=10, what="the moment is over")


def waits(client: Client, path: str, headers: dict[str, str]) -> bool:
    """Return whether an answer cannot be had at once."""
    with at_once():
        try:
            client.get(path, headers=headers, buffered=True)
        except WouldWaitError:
            return True
    return False


def test_all_else_waits_before_anything_is_done(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged, counted or held against anybody: it will be, when a thread answers it."""
    caplog.set_level(logging.INFO)
    client, token = service.client(), basic("x", service.token)
    seen, counted = service.services.security.log.newest(limit=1), polls_counted(service)
    for path, headers in (
        (VIEW, {}),
        (VIEW, basic(str(PROD), "wrong")),
        (VIEW, basic("ums-service", "wrong")),
        (VIEW, basic("x", "ums_wrong")),
        (VIEW, token),
        (VIEW.replace("prod", "nobody"), token),
        (VIEW.replace("upload", "receive"), token),
        (REFS, token),
        ("/v2/", token),
        ("/healthz", {}),
        ("/api/v1/status", {"Authorization": f"Bearer {service.token}"}),
    ):
        service.services.release_repo.read()
        assert waits(client, path, headers), path
    assert requests_of(caplog) == []
    assert polls_counted(service) == counted
    assert service.services.security.log.newest(limit=1) == seen


def test_processes_and_databases_are_waited_for(service: Service, tmp_path: Path) -> None:
    """So they are refused to whoever may not wait, whatever the way there."""
    git, services = Git(service.settings.release_repo), service.services
    with at_once():
        for wait in (
            lambda: git.run("version"),
            lambda: Objects(git).get("HEAD", limit=1),
            services.health.store.reports,
            lambda: services.issue_token(Holder("olga", frozenset({"viewer"})), expires=None, by=ADMIN),
            lambda: services.security.note(SecurityKind.BACKUP_MADE),
            GitReleaseRepo(service.settings.release_repo, SSHStateSigner.generate(tmp_path / "key"), author="x").read,
        ):
            with pytest.raises(WouldWaitError):
                wait()
