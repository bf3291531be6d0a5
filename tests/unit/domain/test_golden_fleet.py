"""A fleet renders byte for byte as it did before: an upgrade of UMS changes nothing that Flux reads, and moves nobody.

What is expected stands in ``golden/renderer-N/``. Who changes it on purpose raises ``RENDERER``, keeps the renderer of
the old number, says in the CHANGELOG what comes out differently, and writes the files of the new number:
``python -m tests.unit.domain.test_golden_fleet``.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.domain.worlds import NOW, PROD, make_component, make_release, make_world
from ums.adapters._release_files import to_bytes
from ums.domain import layout
from ums.domain.bundle import ComponentKind, OnFailure
from ums.domain.fleet import BundleState, DataPlane, Registration
from ums.domain.guard import GUARD, render_rules
from ums.domain.names import PDPName
from ums.domain.rendering import RENDERERS, offer, render_objects, render_planes, render_wrapper
from ums.domain.version import Version
from ums.domain.world import RENDERER, CopyOf, Objects, World

GOLDEN = Path(__file__).parent / "golden"
NEW = {
    *((PDPName("acme", "held"), name) for name in ("gateway", "policies")),
    *((PDPName("acme", "removing"), name) for name in ("cilium", "gateway", "policies")),
}
"""Whom the second release gives what."""
ONE, TWO = Version("1.0.0"), Version("1.1.0")
STATES = {
    PROD: BundleState(ONE, {"cilium": ONE, "gateway": ONE, "policies": ONE}),
    PDPName("acme", "held"): BundleState(TWO, {"cilium": ONE, "gateway": TWO, "policies": TWO}),
    PDPName("acme", "removing"): BundleState(
        TWO, {"cilium": TWO, "gateway": TWO, "policies": TWO, "legacy": ONE}, removing=("legacy",)
    ),
    PDPName("globex", "valued"): BundleState(
        ONE, {"cilium": ONE, "gateway": ONE, "policies": ONE}, values={"cilium": '{"replicas":2}'}
    ),
}


def fleet(*numbers: int) -> World:
    """Return a fleet in which there is one of each kind, its releases registered with these renderers."""
    manifests = replace(
        make_component("policies", "0.3.0", needs=("cilium",)),
        kind=ComponentKind.MANIFESTS,
        release_name="",
        storage_namespace="",
        workloads=(),
    )
    tried_once = replace(make_component("gateway", "2.1.0"), on_failure=OnFailure.ROLLBACK)
    first = make_release("1.0.0", {"cilium": "1.16.0", "gateway": "2.0.0", "legacy": "0.1.0"})
    second = make_release("1.1.0", {"cilium": "1.16.1"}, removes=("legacy",))
    releases = [
        replace(first, components=(*first.components, manifests)),
        replace(second, components=(*second.components, tried_once, manifests)),
    ]
    world = make_world(releases)
    for release, number in zip(releases, numbers, strict=True):
        world = world.with_entry(replace(world.entry("platform", release.version), renderer=number))
    for name in STATES:
        world = world.with_plane(DataPlane(Registration(name, "stable", ("platform",), sealed=False)))
    return world


def folders(world: World) -> dict[str, bytes]:
    """Return every file of the folders of data planes."""
    offers = {
        name: offer(world, name, {"platform": state}, serial=1_800_000_000, now=NOW) for name, state in STATES.items()
    }
    return {
        path: f"copy of {content.path}\n".encode() if isinstance(content, CopyOf) else to_bytes(content, None, path)
        for path, content in render_planes(world, offers).items()
        if content is not None
    }


def rendered(number: int) -> dict[str, bytes]:
    """Return every file that a renderer makes of the fleet; the newest also those that a registration makes."""
    world = fleet(number, number)
    files = folders(world)
    for entry in world.catalog["platform"].values() if number == RENDERER else ():
        for component in entry.release.components:
            objects = Objects(render_objects("platform", component, world.settings))
            files[f"catalog/{entry.release.version}/{component.name}.yaml"] = to_bytes(objects, None, "")
    files[f"guard-{GUARD}.yaml"] = to_bytes(Objects(tuple(render_rules(world.settings))), None, "")
    return files


@pytest.mark.parametrize("number", RENDERERS)
def test_a_fleet_renders_as_it_did_before(number: int) -> None:
    """Every file, and no other."""
    folder = GOLDEN / f"renderer-{number}"
    kept = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = rendered(number)
    assert found.keys() == kept.keys()
    changed = [path for path, content in found.items() if content != kept[path]]
    assert not changed, f"these come out differently, and the renderer is still {number}"


def test_a_new_renderer_changes_nobody_before_a_new_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a release that is there comes out as, an upgrade of UMS does not change: it goes through the waves."""

    def other(*arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - as the one that there is
        return {**render_wrapper(*arguments), "other": True}

    before = folders(fleet(RENDERER, RENDERER))
    monkeypatch.setitem(RENDERERS, RENDERER + 1, replace(RENDERERS[RENDERER], wrapper=other))
    assert folders(fleet(RENDERER, RENDERER)) == before
    after = folders(fleet(RENDERER, RENDERER + 1))
    changed = {path for path, content in after.items() if content != before[path]}
    offered = {f"{layout.plane_folder(name)}platform-{each}.yaml" for name, each in NEW}
    assert changed == offered


if __name__ == "__main__":
    folder = GOLDEN / f"renderer-{RENDERER}"
    shutil.rmtree(folder, ignore_errors=True)
    for each, text in rendered(RENDERER).items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_bytes(text)
