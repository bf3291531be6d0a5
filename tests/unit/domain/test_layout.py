"""Paths of the release repo: wire format, so they are spelled out here once more."""

from __future__ import annotations

import pytest

from ums.domain import layout
from ums.domain.names import ComponentName, PDPName
from ums.domain.version import Version

PDP = PDPName("acme", "prod")
NAME = ComponentName("platform", "cilium")
VERSION = Version("1.4.2-rc.1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (layout.SETTINGS, "ums.yaml"),
        (layout.TRUST, "trust.yaml"),
        (layout.ACCESS, "access.yaml"),
        (layout.catalog_release("platform", VERSION), "catalog/platform/1.4.2-rc.1/release.json"),
        (layout.catalog_notes("platform", VERSION), "catalog/platform/1.4.2-rc.1/notes.md"),
        (layout.catalog_status("platform", VERSION), "catalog/platform/1.4.2-rc.1/status.yaml"),
        (layout.catalog_objects("platform", VERSION, "cilium"), "catalog/platform/1.4.2-rc.1/objects/cilium.yaml"),
        (layout.channel_policy("stable"), "channels/stable/policy.yaml"),
        (layout.channel_state("stable"), "channels/stable/state.yaml"),
        (layout.fleet_registration(PDP), "fleet/acme/prod/registration.yaml"),
        (layout.fleet_decisions(PDP), "fleet/acme/prod/decisions.yaml"),
        (layout.plane_folder(PDP), "pdps/acme/prod/"),
        (layout.plane_kustomization(PDP), "pdps/acme/prod/kustomization.yaml"),
        (layout.plane_state(PDP), "pdps/acme/prod/state.yaml"),
        (layout.plane_wrapper(PDP, NAME), "pdps/acme/prod/platform-cilium.yaml"),
        (layout.plane_component(PDP, NAME, VERSION), "pdps/acme/prod/platform/cilium/1.4.2-rc.1"),
        (layout.plane_objects(PDP, NAME, VERSION), "pdps/acme/prod/platform/cilium/1.4.2-rc.1/objects.yaml"),
        (
            layout.plane_objects(PDP, NAME, VERSION, "{}"),
            "pdps/acme/prod/platform/cilium/values-44136fa355b3678a/1.4.2-rc.1/objects.yaml",
        ),
        (
            layout.plane_values(PDP, NAME, VERSION, "{}"),
            "pdps/acme/prod/platform/cilium/values-44136fa355b3678a/1.4.2-rc.1/kustomization.yaml",
        ),
    ],
)
def test_every_path_is_where_the_design_puts_it(path: str, expected: str) -> None:
    """A repository written by one version is found by the next."""
    assert path == expected


def test_all_of_a_data_plane_is_in_its_folder() -> None:
    """Flux reads one folder, and a credential opens one."""
    paths = [
        layout.plane_kustomization(PDP),
        layout.plane_state(PDP),
        layout.plane_wrapper(PDP, NAME),
        layout.plane_objects(PDP, NAME, VERSION),
    ]
    assert all(path.startswith(layout.plane_folder(PDP)) for path in paths)
    assert not layout.plane_state(PDPName("acme", "prod2")).startswith(layout.plane_folder(PDP))
