"""A data plane that follows its own view, and somebody who serves it another, or an older one."""

from __future__ import annotations

import base64
import json

import pytest
import requests

from tests.e2e.attacks.stage import NAME, Attacker, content, health, root, serial, small_bundle, told
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService
from ums.adapters.ssh_signature import SSHStateSigner

OTHER = "evil-day/other"


@pytest.fixture(scope="module")
def topology() -> str:
    """Say what data planes follow."""
    return "view"


def login_of(service: RunningService, name: str) -> tuple[str, str]:
    """Return the credential of a data plane."""
    objects = service.get(f"/pdps/{name}/bootstrap")["objects"]
    found = next(each["stringData"] for each in objects if each["metadata"]["name"] == "ums-git")
    return found["username"], found["password"]


def patch(cluster: Cluster, kind: str, name: str, value: object) -> None:
    """Change an object in the cluster, as whoever administers it could."""
    cluster.kubectl("patch", kind, name, "-n", "ums-system", "--type=merge", "-p", json.dumps(value))


def poke(cluster: Cluster) -> None:
    """Let source-controller look now."""
    cluster.kubectl(
        "annotate", "gitrepository", "ums", "-n", "ums-system", "--overwrite", "reconcile.fluxcd.io/requestedAt=now"
    )


def test_the_view_of_another_data_plane_brings_nothing(cluster: Cluster, service: RunningService) -> None:
    """Served here by mistake or malice, rightly signed and of a higher serial: the path is not there."""
    before = serial(cluster)
    service.ums("pdp", "add", OTHER, "--channel", "stable", "--bundle", "small")
    eventually(lambda: service.get(f"/pdps/{OTHER}")["desired"], timeout=30, what="the other was offered something")
    own, (user, password) = cluster.get("gitrepository", "ums")["spec"]["url"], login_of(service, OTHER)
    secret = cluster.get("secret", "ums-git")["data"]
    patch(cluster, "secret", "ums-git", {"stringData": {"username": user, "password": password}})
    patch(cluster, "gitrepository", "ums", {"spec": {"url": own.replace(NAME, OTHER)}})
    message = cluster.wait_message("kustomization", "ums-root", "no such file or directory")
    assert (content(cluster), serial(cluster)) == ("1", before)
    told("another data plane's view", "kustomize-controller", message)
    patch(cluster, "secret", "ums-git", {"data": secret})
    patch(cluster, "gitrepository", "ums", {"spec": {"url": own}})
    eventually(lambda: root(cluster)[0] == "True", timeout=180, what="the root is well again", every=0.5)


def test_what_no_state_key_signed_is_not_even_served(
    cluster: Cluster, service: RunningService, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever writes to the release repo without the key is not heard."""
    attacker, before = Attacker(service), serial(cluster)
    good = attacker.git("rev-parse", "delivery")
    key = tmp_path_factory.mktemp("keys") / "other.key"
    SSHStateSigner.generate(key)
    attacker._key = key
    auth = login_of(service, NAME)
    refs = f"{service.url}/git/{NAME}/info/refs?service=git-upload-pack"
    served = requests.get(refs, auth=auth, timeout=10).text
    attacker.commit(lambda _: None)
    assert requests.get(refs, auth=auth, timeout=10).text == served
    poke(cluster)
    assert (content(cluster), serial(cluster), root(cluster)[0]) == ("1", before, "True")
    told("a commit by another key", "the service", "the view stays at the newest commit that a state key signed")
    attacker.restore(good)


def test_a_release_repo_of_the_past_is_not_served(cluster: Cluster, service: RunningService) -> None:
    """Put back while the registry is current: the view is withheld, what runs goes on, and nothing is lost."""
    attacker = Attacker(service)
    old = attacker.git("rev-parse", "delivery")
    service.publish(small_bundle(service.folder / "new", value="2"), "1.1.0")
    for channel in ("edge", "candidate", "stable"):
        service.ums("promote", "small@1.1.0", "--to", channel)
    eventually(lambda: content(cluster) == "2" and health(service) == "healthy", timeout=180, what="1.1.0", every=0.5)
    new = attacker.git("rev-parse", "delivery")
    attacker.restore(old)
    eventually(
        lambda: cluster.ready("gitrepository", "ums")[0] == "False", timeout=120, what="the view is withheld", every=0.5
    )
    answer = requests.get(
        f"{service.url}/git/{NAME}/info/refs?service=git-upload-pack", auth=login_of(service, NAME), timeout=10
    )
    assert answer.status_code == 503
    assert content(cluster) == "2"
    told("a release repo that was put back", "the service", answer.text)
    attacker.restore(new)
    eventually(lambda: cluster.ready("gitrepository", "ums")[0] == "True", timeout=180, what="it goes on", every=0.5)


def test_a_credential_opens_nothing_else(service: RunningService) -> None:
    """Of the service, that is: another view, the release repo, the API, and anything that writes."""
    auth = login_of(service, NAME)
    header = {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode()}
    bearer = {"Authorization": f"Bearer {auth[1]}"}
    for method, path, headers, status in (
        ("GET", f"/git/{OTHER}/info/refs?service=git-upload-pack", header, 403),
        ("GET", "/git/release-repo/info/refs?service=git-upload-pack", header, 403),
        ("GET", f"/git/{NAME}/info/refs?service=git-receive-pack", header, 403),
        ("POST", f"/git/{NAME}/git-receive-pack", header, 403),
        ("POST", "/v2/ums/small/blobs/uploads/", header, 403),
        ("PUT", "/v2/ums/small/manifests/1.0.0", header, 403),
        ("DELETE", "/v2/ums/small/manifests/1.0.0", header, 403),
        ("GET", "/api/v1/pdps", header, 401),
        ("GET", "/api/v1/pdps", bearer, 401),
        ("POST", f"/api/v1/pdps/{OTHER}/events", header, 401),
    ):
        answer = requests.request(method, service.url + path, headers=headers, json={}, timeout=10)
        assert answer.status_code == status, (method, path, answer.text)
        told(f"a data plane's credential for {method} {path}", "the service", str(answer.status_code))
    kinds = {each["kind"] for each in service.get("/audit?limit=100")["items"]}
    assert {"permission.denied", "data-plane.refused"} <= kinds
