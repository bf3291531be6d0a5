"""A fleet renders byte for byte as it did before: an upgrade of UMS changes nothing that Flux reads, and moves nobody.

What is expected stands in ``golden/renderer-N/``. Who changes it on purpose raises ``RENDERER``, says in the CHANGELOG
what comes out differently, and writes the files of the new number: ``python -m tests.unit.domain.test_golden_fleet``.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from tests.unit.domain.worlds import NOW, PROD, make_component, make_release, make_world
from ums.adapters._release_files import to_bytes
from ums.domain.bundle import ComponentKind, OnFailure
from ums.domain.fleet import BundleState, DataPlane, Registration
from ums.domain.guard import GUARD, render_rules
from ums.domain.names import PDPName
from ums.domain.rendering import RENDERER, offer, render_objects, render_planes
from ums.domain.version import Version
from ums.domain.world import CopyOf, Objects

GOLDEN = Path(__file__).parent / "golden" / f"renderer-{RENDERER}"
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


def rendered() -> dict[str, bytes]:
    """Return every file of a fleet in which there is one of each kind."""
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
    for name in STATES:
        world = world.with_plane(DataPlane(Registration(name, "stable", ("platform",), sealed=False)))
    offers = {
        name: offer(world, name, {"platform": state}, serial=1_800_000_000, now=NOW) for name, state in STATES.items()
    }
    files = {
        path: f"copy of {content.path}\n".encode() if isinstance(content, CopyOf) else to_bytes(content, None, path)
        for path, content in render_planes(world, offers).items()
        if content is not None
    }
    for release in releases:
        for component in release.components:
            objects = Objects(render_objects("platform", component, world.settings))
            files[f"catalog/{release.version}/{component.name}.yaml"] = to_bytes(objects, None, "")
    files[f"guard-{GUARD}.yaml"] = to_bytes(Objects(tuple(render_rules(world.settings))), None, "")
    return files


def test_a_fleet_renders_as_it_did_before() -> None:
    """Every file, and no other."""
    kept = {str(path.relative_to(GOLDEN)): path.read_bytes() for path in GOLDEN.rglob("*") if path.is_file()}
    found = rendered()
    assert found.keys() == kept.keys()
    changed = [path for path, content in found.items() if content != kept[path]]
    assert not changed, f"these come out differently, and RENDERER is still {RENDERER}"


if __name__ == "__main__":
    shutil.rmtree(GOLDEN, ignore_errors=True)
    for each, text in rendered().items():
        (GOLDEN / each).parent.mkdir(parents=True, exist_ok=True)
        (GOLDEN / each).write_bytes(text)
