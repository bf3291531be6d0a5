"""What UMS pushed is read by the tools that people have already, on registries with and without referrers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.registries import REGISTRIES
from tests.e2e.toolchain import find_tool, tool
from tests.running_service import EXAMPLES, PASSWORD, ROOT

COMPONENTS = ("cilium", "gateway", "observability", "pdp-agent")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        any(find_tool(name) is None for name in ("cosign", "helm", "oras", "crane", "registry")),
        reason="cosign, helm, oras and the registries are not built: python -m tests.e2e.toolchain",
    ),
]


@dataclass(frozen=True)
class Published:
    """A release in a registry, and the key that signed it."""

    address: str
    folder: Path
    digests: dict[str, str]

    @property
    def prefix(self) -> str:
        """Return the prefix of all repositories."""
        return f"{self.address}/ums"

    @property
    def public_key(self) -> Path:
        """Return the public key."""
        return self.folder / "release.pub"

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program with a home of its own."""
        env = {**os.environ, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), "UMS_KEY_PASSWORD": PASSWORD}
        env["COSIGN_PASSWORD"] = PASSWORD
        parts = [str(part) for part in command]
        return subprocess.run(parts, env=env, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)

    def ums(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours against the registry."""
        return self.run(sys.executable, "-m", "ums", *arguments, "--registry", self.prefix, "--plain-http")

    def cosign_verify(self, subject: str, *, key: str = "release.pub") -> subprocess.CompletedProcess[str]:
        """Let cosign verify an artifact."""
        flags = ("--insecure-ignore-tlog=true", "--allow-http-registry=true", "--allow-insecure-registry=true")
        return self.run(tool("cosign"), "verify", "--key", key, *flags, subject)

    def tool(self, name: str, *arguments: str | Path) -> str:
        """Run a tool that must succeed, and return all it printed."""
        done = self.run(tool(name), *arguments)
        assert done.returncode == 0, f"{name} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module", params=["distribution", "crane", "embedded"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Return a release published to each kind of registry."""
    folder, store = tmp_path_factory.mktemp(request.param), tmp_path_factory.mktemp("store")
    with REGISTRIES[request.param](store) as place:
        made = Published(place.address, folder, {})
        assert made.run(sys.executable, "-m", "ums", "keys", "generate", "release.key").returncode == 0
        example = str(EXAMPLES / "platform" / "1.0.0")
        done = made.ums("publish", example, "--version", "1.0.0", "--key", "release.key", "--no-register", "-o", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        verified = made.ums("verify", "platform@1.0.0", "--key", str(made.public_key), "-o", "json")
        assert verified.returncode == 0, verified.stderr
        for each in json.loads(verified.stdout)["verified"]:
            made.digests[each["subject"].partition("@")[0]] = each["digest"]
        yield made


@pytest.mark.parametrize("name", ["platform", *(f"platform/{component}" for component in COMPONENTS)])
def test_cosign_verifies_every_artifact(published: Published, name: str) -> None:
    """The release and each component carry a signature that cosign finds and accepts."""
    verified = published.cosign_verify(f"{published.prefix}/{name}@{published.digests[name]}")
    assert verified.returncode == 0, verified.stderr
    assert "The signatures were verified against the specified public key" in verified.stderr


def test_cosign_refuses_what_was_not_signed(published: Published) -> None:
    """Neither a chart that somebody pushed beside ours, nor ours under a stranger's key."""
    published.tool("helm", "package", EXAMPLES / "platform" / "1.0.0" / "charts" / "gateway", "--version", "6.6.6")
    published.tool("helm", "push", "gateway-6.6.6.tgz", f"oci://{published.prefix}/platform", "--plain-http")
    refused = published.cosign_verify(f"{published.prefix}/platform/gateway:6.6.6")
    assert (refused.returncode != 0, "no signatures found" in refused.stderr) == (True, True)
    published.tool("cosign", "generate-key-pair", "--output-key-prefix", "stranger")
    ours = f"{published.prefix}/platform@{published.digests['platform']}"
    assert published.cosign_verify(ours, key="stranger.pub").returncode != 0


def test_helm_pulls_a_chart(published: Published) -> None:
    """By version and without us, with the bundle's values in it."""
    chart = f"oci://{published.prefix}/platform/cilium"
    published.tool("helm", "pull", chart, "--version", "1.0.0", "--plain-http", "--untar")
    assert published.tool("helm", "lint", published.folder / "cilium")
    rendered = published.tool("helm", "template", "cilium", published.folder / "cilium", "--namespace", "kube-system")
    assert 'hubble: "true"' in rendered


def test_oras_pulls_and_discovers(published: Published) -> None:
    """The manifests come as an archive, and the signature is listed as what refers to them."""
    subject = f"{published.prefix}/platform/pdp-agent@{published.digests['platform/pdp-agent']}"
    published.tool("oras", "pull", "--plain-http", "--allow-path-traversal", subject)
    found = published.tool("oras", "discover", "--plain-http", "--format", "json", subject)
    assert found.count('"artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json"') >= 1


def test_publishing_again_changes_nothing(published: Published) -> None:
    """The same content under the same version is signed once, however often it is published."""

    def referrers_and_tags() -> list[str]:
        return [
            published.tool("oras", *command, "--plain-http", f"{published.prefix}/{name}{at}")
            for name, digest in published.digests.items()
            for command, at in ((("discover", "--format", "json"), f"@{digest}"), (("repo", "tags"), ""))
        ]

    before = referrers_and_tags()
    flags = ("--version", "1.0.0", "--key", "release.key", "--no-register")
    again = published.ums("publish", str(EXAMPLES / "platform" / "1.0.0"), *flags)
    assert again.returncode == 0, again.stderr
    assert referrers_and_tags() == before


def test_other_content_under_a_version_is_refused(published: Published) -> None:
    """Versions never change: exit code 5, and the release stays as it was."""
    example = str(EXAMPLES / "platform" / "1.1.0")
    done = published.ums("publish", example, "--version", "1.0.0", "--key", "release.key", "--no-register")
    assert done.returncode == 5
    assert "versions never change" in done.stderr
    again = published.ums("verify", "platform@1.0.0", "--key", str(published.public_key))
    assert again.returncode == 0


def test_another_key_verifies_nothing(published: Published) -> None:
    """``ums verify`` ends with exit code 7, and names what lacks a signature."""
    published.run(sys.executable, "-m", "ums", "keys", "generate", "other.key")
    done = published.ums("verify", "platform@1.0.0", "--key", "other.pub")
    assert done.returncode == 7
    assert "platform@" in done.stderr


def test_a_patch_reuses_every_other_component(published: Published) -> None:
    """One component is new, the rest is taken by digest, signatures and all."""
    example = str(EXAMPLES / "platform" / "1.2.0")
    arguments = ("--base", "platform@1.0.0", "--replace", "cilium", "--version", "1.0.1", "--fixes", "CVE-2026-0001")
    flags = ("--key", "release.key", "--no-register", "-o", "json")
    done = published.ums("publish", example, *arguments, *flags)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["built"], sorted(made["reused"])) == (["cilium"], ["gateway", "observability", "pdp-agent"])
    assert published.ums("verify", "platform@1.0.1", "--key", str(published.public_key)).returncode == 0
