"""A data plane without a cluster: it does what Flux and the guard do, with the code of ``ums verify``.

It fetches over HTTP with its own credential, checks the commit's signature, its state and every artifact's signature,
pulls what it would apply, and sends HMAC-signed events. Only the applying is left out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import yaml

from ums.adapters._archive import unpack
from ums.adapters._git import NETWORK, Git
from ums.adapters._git_folder import create, read_ref
from ums.adapters._git_objects import take_apart
from ums.adapters.cosign_bundle import CosignBundleVerifier
from ums.adapters.oras_registry import OrasRegistry
from ums.adapters.ssh_signature import verify_ssh_signature
from ums.domain.digest import Digest
from ums.domain.instants import parse_instant, to_text
from ums.domain.names import ComponentName, PDPName
from ums.domain.oci import Descriptor, Repository
from ums.domain.rendering import NAMESPACE, RELEASE_KEYS, ROOT, SOURCE, STATE_KEYS
from ums.domain.trust import TRUST, KeySigner
from ums.usecases.verify import Verify

_TIMEOUT = 30
_VIEW = "refs/heads/view"


class RefusedError(Exception):
    """What was offered is not what it should be; it is not applied."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What the data plane runs."""

    serial: int
    commit_id: str
    releases: dict[str, str]


def _content(secret: dict[str, Any]) -> dict[str, str]:
    content: dict[str, str] = dict(secret.get("stringData", {}))
    return content | {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}


class SimulatedPlane:
    """One data plane; ``poll`` is one round of Flux. ``fails_on`` names a component version that never gets ready."""

    def __init__(self, name: PDPName, objects: list[dict[str, Any]], folder: Path, *, fails_on: str = "") -> None:
        self.name = name
        self.applied: Applied | None = None
        self._fails_on = fails_on
        self._folder = folder
        secrets = {each["metadata"]["name"]: _content(each) for each in objects if each["kind"] == "Secret"}
        kinds = {each["kind"]: each for each in objects}
        login = secrets["ums-git"]
        self._login = (login["username"], login["password"])
        self._url = kinds["GitRepository"]["spec"]["url"]
        self._events = kinds["Provider"]["spec"]["address"]
        self._event_key = secrets["ums-events"]["token"].encode()
        self._state_keys: list[str] = []
        self._signers: list[KeySigner] = []
        self._take_keys(objects)
        registry = OrasRegistry(username=self._login[0], password=self._login[1], plain_http=True)
        self._registry = registry
        self._verify = Verify(registry, CosignBundleVerifier())
        self._session = requests.Session()
        encoded = base64.b64encode(":".join(self._login).encode()).decode()
        self._git = Git(
            folder,
            timeout=_TIMEOUT,
            inherited=NETWORK,
            GIT_ALLOW_PROTOCOL="http:https",
            GIT_CONFIG_COUNT="1",
            GIT_CONFIG_KEY_0="http.extraHeader",
            GIT_CONFIG_VALUE_0=f"Authorization: Basic {encoded}",
        )

    def close(self) -> None:
        """Close its connections."""
        self._session.close()
        self._registry.close()

    def _take_keys(self, objects: Iterable[dict[str, Any]]) -> None:
        """Believe the keys among some objects from now on: those of bootstrap, and of bundle trust."""
        for each in objects:
            if each["kind"] == "Secret" and each["metadata"]["name"] == STATE_KEYS:
                self._state_keys = list(_content(each).values())
            if each["kind"] == "Secret" and each["metadata"]["name"] == RELEASE_KEYS:
                self._signers = [KeySigner(key, text) for key, text in _content(each).items()]

    def poll(self) -> bool:
        """Fetch, verify and report what is new; return whether there was something."""
        head = self._head()
        if head is None or (self.applied is not None and head == self.applied.commit_id):
            return False
        # The branch may have moved since it was asked for: what was fetched counts.
        self._fetch()
        head = read_ref(self._folder, _VIEW)
        try:
            applied = self._apply(head)
        except RefusedError as error:
            self._report(head, "error", "ReconciliationFailed", str(error))
            self.applied = self.applied and Applied(self.applied.serial, head, self.applied.releases)
            return True
        changed = self.applied is None or applied.serial != self.applied.serial
        self.applied = applied
        broken = [name for name in applied.releases.values() if self._fails_on and self._fails_on in name]
        if broken:
            self._report(head, "error", "HealthCheckFailed", f"timeout waiting for {broken[0]}", wrapper=True)
        else:
            self._report(head, "info", "ReconciliationSucceeded", f"applied serial {applied.serial}")
        return changed

    def _head(self) -> str | None:
        answer = self._session.get(
            f"{self._url}/info/refs", params={"service": "git-upload-pack"}, auth=self._login, timeout=_TIMEOUT
        )
        answer.raise_for_status()
        for line in answer.text.splitlines():
            if "refs/heads/view" in line:
                return line.split(" refs/heads/view")[0][-40:]
        return None

    def _apply(self, head: str) -> Applied:
        self._check_commit(head)
        state = yaml.safe_load(self._read(head, "state.yaml"))["data"]
        serial, now = int(state["serial"]), datetime.now(UTC)
        if self.applied is not None and serial == self.applied.serial:
            return Applied(serial, head, self.applied.releases)
        # What the guard demands of a new state.
        if state["pdp"] != str(self.name):
            raise RefusedError(f"the state must be that of {self.name}, not of {state['pdp']}")
        if self.applied is not None and serial < self.applied.serial:
            raise RefusedError("the serial must rise")
        if now >= parse_instant(state["expires"]):
            raise RefusedError("this offer has expired")
        releases: dict[str, str] = {}
        for bundle, content in json.loads(state["releases"]).items():
            for component in content["components"]:
                version = self._pull(head, ComponentName(bundle, component))
                releases[f"{bundle}/{component}"] = f"{component}:{version}"
        return Applied(serial, head, releases)

    def _pull(self, head: str, component: ComponentName) -> str:
        """Verify and pull one component; return its version."""
        wrapper = yaml.safe_load(self._read(head, f"{component.object_name}.yaml"))
        folder = wrapper["spec"]["path"].removeprefix(f"./pdps/{self.name}/")
        source = next(
            each
            for each in yaml.safe_load_all(self._read(head, f"{folder}/objects.yaml"))
            if each["kind"] == "OCIRepository"
        )["spec"]
        repository, digest = Repository.parse(source["url"]), Digest.parse(source["ref"]["digest"])
        if not self._verify.signed_by(repository, digest, self._signers):
            raise RefusedError(
                f"{component.object_name} ({digest.short}) is signed by no key that this data plane trusts"
            )
        _, manifest = self._registry.get_manifest(repository, str(digest))
        parsed = json.loads(manifest)
        for layer in parsed["layers"]:
            with self._registry.open_blob(repository, Descriptor.from_dict(layer)) as blob:
                if component.bundle == TRUST:
                    for content in unpack(blob.read(), component.object_name).values():
                        self._take_keys(yaml.safe_load_all(content))
        return str(parsed["annotations"]["org.opencontainers.image.version"])

    def _fetch(self) -> None:
        create(self._folder)
        self._git.run("fetch", "--quiet", "--no-tags", self._url, f"+{_VIEW}:{_VIEW}")

    def _check_commit(self, head: str) -> None:
        parts = take_apart(self._git.run("cat-file", "commit", head))
        if verify_ssh_signature(parts.payload, parts.signature, self._state_keys) is None:
            raise RefusedError(f"commit {head[:12]} is not signed by a state key that this data plane trusts")

    def _read(self, head: str, path: str) -> str:
        return self._git.run("cat-file", "blob", f"{head}:pdps/{self.name}/{path}").decode()

    def _report(self, head: str, severity: str, reason: str, message: str, *, wrapper: bool = False) -> None:
        """Send an event as notification-controller does (generic-hmac)."""
        name = "platform-observability" if wrapper else ROOT
        event = {
            "involvedObject": {"kind": "Kustomization", "name": name, "namespace": NAMESPACE},
            "severity": severity,
            "timestamp": to_text(datetime.now(UTC)),
            "message": message,
            "reason": reason,
            "metadata": {"revision": f"view@sha1:{head}"},
            "reportingController": SOURCE,
        }
        body = json.dumps(event).encode()
        signature = "sha256=" + hmac.new(self._event_key, body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "Content-Type": "application/json"}
        self._session.post(self._events, data=body, headers=headers, timeout=_TIMEOUT).raise_for_status()
