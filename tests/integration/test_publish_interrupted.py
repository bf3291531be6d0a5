"""``ums publish`` killed at any point: the same command finishes the job, and nothing is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.registries import REGISTRIES, Place
from tests.running_service import EXAMPLES, PASSWORD, ROOT
from ums.adapters.cosign_bundle import generate_key
from ums.domain.digest import Digest
from ums.domain.oci import SIGSTORE_BUNDLE, Repository

STEPS = 10
"""Lines of progress: four components and the release, each pushed and signed."""

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Bench:
    """A registry, and a key to sign with."""

    place: Place
    folder: Path

    def prefix(self, name: str) -> Repository:
        """Return the prefix of one attempt, where nothing was published before."""
        return Repository(self.place.address, name)

    def command(self, verb: str, *arguments: str, prefix: Repository) -> subprocess.Popen[str]:
        """Start a command of ours."""
        flags = ("--registry", str(prefix), "--plain-http")
        return subprocess.Popen(
            [sys.executable, "-m", "ums", verb, *arguments, *flags],
            env={**os.environ, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), "UMS_KEY_PASSWORD": PASSWORD},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def publish(self, prefix: Repository) -> subprocess.Popen[str]:
        """Start to publish the example."""
        example = str(EXAMPLES / "platform" / "1.0.0")
        flags = ("--version", "1.0.0", "--key", "release.key", "--no-register")
        return self.command("publish", example, *flags, prefix=prefix)

    def finish(self, process: subprocess.Popen[str]) -> str:
        """Wait for a command that must succeed, and return what it printed."""
        with process:
            printed, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint
        return printed

    def signatures(self, prefix: Repository) -> dict[str, int]:
        """Verify the release; return how many signatures each of its artifacts carries."""
        verify = self.command("verify", "platform@1.0.0", "--key", "release.pub", "-o", "json", prefix=prefix)
        found = {}
        for each in json.loads(self.finish(verify))["verified"]:
            name = each["subject"].partition("@")[0]
            digest = Digest.parse(each["digest"])
            found[name] = len(self.place.registry.referrers(prefix / name, digest, SIGSTORE_BUNDLE))
        return found


# Not crane's: it keeps a manifest whose upload was cut short, as nothing else does.
@pytest.fixture(scope="module", params=["distribution", "embedded"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a real registry of each kind."""
    folder, store = tmp_path_factory.mktemp("publisher"), tmp_path_factory.mktemp("store")
    generate_key(folder / "release.key", PASSWORD.encode())
    with REGISTRIES[request.param](store) as place:
        yield Bench(place, folder)


@pytest.mark.parametrize("lines", range(1, STEPS + 1))
def test_the_same_command_finishes(bench: Bench, lines: int) -> None:
    """Killed after any line of progress, publishing again completes the release, and signs nothing twice."""
    prefix = bench.prefix(f"killed/after-{lines}")
    with bench.publish(prefix) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(lines)]
        process.kill()
    assert all(line.split()[0] in {"pushed", "signed"} for line in said), said
    bench.finish(bench.publish(prefix))
    names = ("platform", *(f"platform/{each}" for each in ("cilium", "gateway", "observability", "pdp-agent")))
    assert bench.signatures(prefix) == dict.fromkeys(names, 1)
