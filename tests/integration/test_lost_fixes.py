"""The command line on a running service: a security patch keeps what it should, and losing it is said and recorded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.running_service import RunningService
from ums.domain.digest import Digest

CVE, REASON = "CVE-2026-0001", "1.16.4 loses packets"
BEGUN = {"cilium": "1.16.3", "gateway": "3.2.0"}
FAST = {
    "rollout": {"waves": [{"name": "everyone"}], "maxUpdating": "100%", "healthyFor": "0s"},
    "gates": {"approvals": {"required": 1, "groups": ["security"]}},
    "expedite": {"approvals": {"required": 1, "groups": ["security"]}},
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    """Run a service with two channels: anything may enter ``edge``, ``guarded`` asks for approval."""
    edge = {"rollout": FAST["rollout"]}
    with RunningService(tmp_path, channels={"edge": edge, "guarded": FAST}) as running:
        yield running


def bundle(folder: Path, versions: Mapping[str, str], **fields: object) -> Path:
    """Write a bundle of charts."""
    shutil.rmtree(folder, ignore_errors=True)
    components = []
    for name, version in versions.items():
        chart = folder / name
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: {version}\n")
        image = f"registry.example.com/{name}:{version}@{Digest.of(f'{name}@{version}'.encode())}"
        pod = {"containers": [{"name": name, "image": image}]}
        labels = {"app": name}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        }
        (chart / "templates" / "deployment.yaml").write_text(yaml.safe_dump(deployment))
        components.append({"name": name, "chart": name, "namespace": name, "images": [image]})
    (folder / "bundle.yaml").write_text(yaml.safe_dump({"name": "platform", "components": components, **fields}))
    return folder


@pytest.fixture
def patch(service: RunningService, tmp_path: Path) -> tuple[str, ...]:
    """Publish the first release, and return the command that patches its cilium from a chart alone."""
    folder = bundle(tmp_path / "platform", {"cilium": "1.16.3", "gateway": "3.1.0"}, notes="The first.\n")
    service.ums("publish", str(folder), "--version", "1.0.0")
    shutil.copytree(bundle(tmp_path / "fixed", {"cilium": "1.16.4"}) / "cilium", folder / "fixed")
    image = f"cilium=registry.example.com/cilium:1.16.4@{Digest.of(b'cilium@1.16.4')}"
    (tmp_path / "notes.md").write_text(f"Closes {CVE}.\n")
    return ("publish", str(folder), "--base", "platform@1.0.0", "--replace", "cilium=fixed", "--image", image)


def test_a_patch_that_fixes_something_takes_the_fast_path(
    service: RunningService, patch: tuple[str, ...], tmp_path: Path
) -> None:
    """It is a security release without a word about its class, which can be said too."""
    notes = ("--notes-file", str(tmp_path / "notes.md"))
    both = service.run(*patch, "--version", "1.0.1", *notes, "--notes", "x")
    assert (both.returncode, "either --notes or --notes-file" in both.stderr) == (2, True)
    planned = service.json(*patch, "--version", "1.0.1", "--fixes", CVE, *notes, "--dry-run")
    assert (planned["class"], planned["fixes"], planned["base"]) == ("security", [CVE], "platform@1.0.0")
    service.ums(*patch, "--version", "1.0.1", "--fixes", CVE, *notes)
    service.ums(*patch, "--version", "1.0.2", "--fixes", f"gateway={CVE}", "--class", "bugfix")
    shown = service.json("release", "show", "platform@1.0.1")
    assert (shown["class"], shown["fixes"], shown["base"]) == ("security", [CVE], "1.0.0")
    assert {each["name"]: each["fixes"] for each in shown["components"]} == {"cilium": [CVE], "gateway": []}
    assert service.json("release", "show", "platform@1.0.2")["class"] == "bugfix"
    sue = service.ums("token", "create", "sue", "--group", "viewer", "--group", "security").split()[-1]
    service.ums("approve", "platform@1.0.1", "--to", "guarded", "--reason", CVE, UMS_TOKEN=sue)
    expedited = ("promote", "platform@1.0.1", "--to", "guarded", "--expedite", "--reason", CVE)
    done = service.json(*expedited)
    assert (done["promoted"], done["fixes"], done["lostFixes"]) == (True, [CVE], [])


def test_a_lost_fix_is_said_and_needs_an_override(
    service: RunningService, patch: tuple[str, ...], tmp_path: Path
) -> None:
    """1.1.0 was begun before 1.0.1 closed the CVE; every other gate of the channel is open."""
    service.ums(*patch, "--version", "1.0.1", "--fixes", CVE)
    service.ums("promote", "platform@1.0.1", "--to", "edge")
    service.ums("publish", str(bundle(tmp_path / "begun", BEGUN)), "--version", "1.1.0")
    refused = service.run("promote", "platform@1.1.0", "--to", "edge")
    assert refused.returncode == 3
    assert f"older components: cilium 1.16.4 -> 1.16.3; lost fixes: {CVE} in cilium" in refused.stderr
    diff = service.ums("release", "diff", "platform@1.0.1", "platform@1.1.0")
    assert ("(older)" in diff, f"no longer fixes {CVE}" in diff) == (True, True)
    service.ums("override", "regression", "platform@1.1.0", "--to", "edge", "--reason", REASON)
    promoted = service.json("promote", "platform@1.1.0", "--to", "edge")
    assert (promoted["promoted"], promoted["fixes"], promoted["lostFixes"]) == (True, [], [CVE])
    (gate,) = [each for each in promoted["gates"] if each["gate"] == "regression"]
    assert (gate["verdict"], f": {REASON} (" in gate["message"]) == ("skipped", True)
    released = service.json("release", "show", "platform@1.1.0")
    assert [(each["gates"], each["reason"]) for each in released["skipped"]] == [(["regression"], REASON)]
    assert [each["reason"] for each in released["promotions"][0]["overrides"]] == [REASON]
    assert ("override-gate", REASON) in {(each["action"], each["reason"]) for each in service.get("/log")["items"]}


def test_a_release_that_goes_on_from_a_fix_keeps_it_and_lets_no_later_one_go_back(
    service: RunningService, patch: tuple[str, ...], tmp_path: Path
) -> None:
    """By its base and its floor; whoever goes below that says why."""
    service.ums(*patch, "--version", "1.0.1", "--fixes", CVE)
    service.ums("promote", "platform@1.0.1", "--to", "edge")
    floor = {"component": "cilium", "versions": ">=1.16.4", "reason": CVE, "until": "2999-01-01T00:00:00Z"}
    newer = bundle(tmp_path / "newer", {"cilium": "1.17.0", "gateway": "3.2.0"}, floors=[floor])
    service.ums("publish", str(newer), "--base", "platform@1.0.1", "--version", "1.2.0")
    done = service.json("promote", "platform@1.2.0", "--to", "edge")
    assert (done["promoted"], done["fixes"], done["lostFixes"], done["class"]) == (True, [], [], "feature")
    below = ("publish", str(bundle(tmp_path / "begun", BEGUN)), "--version", "1.3.0")
    refused = service.run(*below)
    assert refused.returncode == 3
    assert f"cilium 1.16.3 is below the floor cilium >=1.16.4, declared by platform@1.2.0: {CVE}" in refused.stderr
    assert "release engineer of bundle platform (ums publish … --override-floors" in refused.stderr
    assert "platform@1.3.0" not in service.ums("release", "list")
    service.ums(*below, "--override-floors", REASON)
    (known,) = service.json("release", "show", "platform@1.3.0")["belowFloors"]
    assert (known["floor"], known["reason"]) == ("cilium >=1.16.4, declared by platform@1.2.0", REASON)
