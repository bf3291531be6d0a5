"""What is under a service fails, and comes back: nothing acknowledged is lost, and nothing is half done."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.processes import eventually
from tests.running_service import RunningService
from ums.domain.rendering import NAMESPACE, ROOT

STORAGE, UNAVAILABLE = 10, 9
PLANE = "acme/prod"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of its own, which is small."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while True:
                try:
                    if file.write(b"\0" * size) < size:
                        break
                except OSError:
                    break
    return filler


@contextmanager
def served(folder: Path) -> Iterator[RunningService]:
    """Give a service with a data plane."""
    with RunningService(folder) as service:
        service.ums("pdp", "add", PLANE, "--channel", "edge", "--bundle", "platform")
        yield service


def decisions(service: RunningService) -> list[str]:
    """Return why each decision was taken, as Git has them."""
    return [each["reason"] for each in service.json("log", "-n", "100")["items"]]


def git(service: RunningService, *arguments: str) -> str:
    """Ask Git about the release repo."""
    command = ["git", "-C", str(service.data / "release-repo.git"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def is_whole(service: RunningService) -> bool:
    """Return whether the release repo is without a fault."""
    git(service, "fsck", "--strict", "--no-dangling")
    return service.run("audit", "verify", str(service.data / "release-repo.git")).returncode == 0


def report(service: RunningService, secret: str) -> int:
    """Post an event as Flux does; return the status of the answer."""
    head = git(service, "rev-parse", "delivery")
    event: dict[str, Any] = {
        "involvedObject": {"kind": "Kustomization", "name": ROOT, "namespace": NAMESPACE},
        "severity": "info",
        "reason": "ReconciliationSucceeded",
        "message": "done",
        "timestamp": "2026-11-23T12:00:00Z",
        "metadata": {"revision": f"delivery@sha1:{head}"},
    }
    body = json.dumps(event).encode()
    signature = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    url = f"{service.url}/api/v1/pdps/{PLANE}/events"
    return requests.post(url, data=body, headers={"X-Signature": signature}, timeout=30).status_code


def secret_of(service: RunningService) -> str:
    """Return what the data plane signs its reports with."""
    objects = yaml.safe_load_all(service.ums("pdp", "bootstrap", PLANE, "--stdout"))
    (token,) = (
        each["stringData"]["token"]
        for each in objects
        if each and each.get("kind") == "Secret" and "token" in each.get("stringData", {})
    )
    return str(token)


def ready(service: RunningService) -> dict[str, str]:
    """Return the checks that do not pass."""
    checks = requests.get(f"{service.url}/readyz", timeout=30).json()["checks"]
    return {each["name"]: each["message"] for each in checks if each["status"] != "pass"}


def test_a_full_disk_refuses_what_is_new_and_keeps_what_was_said(disk: Path) -> None:
    """Decisions end with what to do, reports are told to come again, reading goes on; with room, all goes on."""
    with served(disk / "site") as service:
        service.ums("freeze", "--reason", "before", "--yes")
        before, secret = decisions(service), secret_of(service)
        filler = fill(disk)
        assert "disk" in ready(service)
        refused = service.run("thaw", "everything", "--reason", "meanwhile", "--yes")
        assert (refused.returncode, refused.stdout) == (STORAGE, ""), refused.stderr
        assert "full" in refused.stderr
        assert report(service, secret) == 507
        assert decisions(service) == before
        filler.unlink()
        assert is_whole(service)
        assert report(service, secret) == 202
        service.ums("thaw", "everything", "--reason", "after", "--yes")
        assert decisions(service) == ["after", *before]
        assert ready(service) == {}
        assert is_whole(service)
        assert "Traceback" not in service.log_text()


def test_a_full_disk_takes_no_push_and_serves_what_is_there(disk: Path) -> None:
    """The registry says 507 and keeps nothing of it; views and blobs are read on; with room, the same push succeeds."""
    with served(disk / "site") as service:
        login = ("token", service.token)
        view = f"{service.url}/git/{PLANE}/info/refs?service=git-upload-pack"
        uploads = f"{service.url}/v2/ums/x/blobs/uploads/"

        def push(content: bytes) -> int:
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            return requests.post(uploads, params={"digest": digest}, data=content, auth=login, timeout=30).status_code

        small, large = b"small", bytes(4 << 20)
        assert push(small) == 201
        heads = requests.get(view, auth=login, timeout=30)
        filler = fill(disk)
        assert push(large) == 507
        assert requests.get(view, auth=login, timeout=30).content == heads.content
        blob = f"{service.url}/v2/ums/x/blobs/sha256:{hashlib.sha256(small).hexdigest()}"
        assert requests.get(blob, auth=login, timeout=30).content == small
        filler.unlink()
        service.ums("registry", "check", str(service.data))
        assert push(large) == 201
        assert heads.status_code == 200
        assert "Traceback" not in service.log_text()


def test_without_its_release_repo_a_service_says_so_until_it_is_back(tmp_path: Path) -> None:
    """A mount that is gone must not look like a fleet of nobody."""
    with served(tmp_path / "site") as service:
        service.ums("freeze", "--reason", "before", "--yes")
        repo = service.data / "release-repo.git"
        repo.rename(away := service.data / "away.git")
        eventually(lambda: "release-repo" in ready(service), timeout=10, what="it is missed")
        for command in (("status",), ("freeze", "b", "--reason", "meanwhile", "--yes"), ("pdp", "list")):
            done = service.run(*command)
            assert (done.returncode, done.stdout) == (UNAVAILABLE, ""), done.stderr
            assert str(tmp_path) not in done.stderr
        away.rename(repo)
        eventually(lambda: ready(service) == {}, timeout=10, what="ready again")
        service.ums("thaw", "everything", "--reason", "after", "--yes")
        assert decisions(service)[:2] == ["after", "before"]
        assert is_whole(service)
        assert "Traceback" not in service.log_text()
