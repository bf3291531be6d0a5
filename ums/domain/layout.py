"""Where everything stands in the release repo. Two branches: decisions on ``main``, ``delivery`` for Flux."""

from __future__ import annotations

from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.names import ComponentName, PDPName
from ums.domain.version import Version

SCHEMA = 1
"""Version of the layout; a consumer accepts its own."""

MAIN = "main"
DELIVERY = "delivery"
VIEW = "view"
"""The branch of a data plane's own remote: its folder of ``delivery``."""

DECISION = "UMS-Decision"
"""The trailer of commits on ``delivery`` that names the commit on ``main`` that they follow from."""
ANCHOR = "UMS-Security-Log"
"""The trailer of commits on ``main`` that names the newest security event."""

_VALUES_DIGITS = 16
"""Of the digest of a component's values, in the name of its folder."""

SETTINGS = "ums.yaml"
TRUST = "trust.yaml"
TRUST_AT_BOOTSTRAP = "trust.at-bootstrap.yaml"
"""The keys that data planes know which no release of bundle ``trust`` has reached yet; UMS writes it, once."""
FREEZES = "freezes.yaml"
ACCESS = "access.yaml"


_MAX_PATH_BYTES = 4096


def check_path(path: str) -> None:
    """Make sure that a text can be the path of a file or folder; the empty one stands for all.

    Raises:
        InvalidInputError: it cannot.

    """
    parts = path.removesuffix("/").split("/") if path else []
    # What is not printable is no path of ours; a lone surrogate is not either, and has no bytes.
    if not path.isprintable() or not {"", ".", ".."}.isdisjoint(parts) or len(path.encode()) > _MAX_PATH_BYTES:
        raise InvalidInputError(
            f"{path[:80]!r} cannot be a path of the release repo", hint="name a file or folder, e.g. channels/stable"
        )


def in_force(path: str) -> str:
    """Return the path of the last valid version of a file that people write, which UMS keeps beside it."""
    return f"{path.removesuffix('.yaml')}.in-force.yaml"


def catalog_folder(bundle: str, version: Version) -> str:
    """Return the folder of a release on ``main``."""
    return f"catalog/{bundle}/{version}"


def catalog_release(bundle: str, version: Version) -> str:
    """Return the path of a release's canonical JSON."""
    return f"{catalog_folder(bundle, version)}/release.json"


def catalog_notes(bundle: str, version: Version) -> str:
    """Return the path of a release's notes."""
    return f"{catalog_folder(bundle, version)}/notes.md"


def catalog_status(bundle: str, version: Version) -> str:
    """Return the path of what was decided about a release."""
    return f"{catalog_folder(bundle, version)}/status.yaml"


def catalog_objects(bundle: str, version: Version, component: str) -> str:
    """Return the path of a component's Flux objects."""
    return f"{catalog_folder(bundle, version)}/objects/{component}.yaml"


def channel_policy(channel: str) -> str:
    """Return the path of a channel's policy, which people edit."""
    return f"channels/{channel}/policy.yaml"


def channel_state(channel: str) -> str:
    """Return the path of a channel's state, which UMS writes."""
    return f"channels/{channel}/state.yaml"


def channel_policy_in_force(channel: str) -> str:
    """Return the path of the last policy that was valid, which UMS keeps for when people break theirs."""
    return in_force(channel_policy(channel))


def channel_rollout(channel: str, bundle: str) -> str:
    """Return the path of the rollout of a channel's head."""
    return f"channels/{channel}/rollouts/{bundle}.yaml"


def channel_request(channel: str, request: str) -> str:
    """Return the path of a promotion that was asked for or agreed to."""
    return f"channels/{channel}/promotions/{request}.yaml"


def risk(name: str) -> str:
    """Return the path of a declared risk."""
    return f"risks/{name}.yaml"


def fleet_registration(pdp: PDPName) -> str:
    """Return the path of a data plane's registration, which people edit."""
    return f"fleet/{pdp}/registration.yaml"


def fleet_decisions(pdp: PDPName) -> str:
    """Return the path of what was decided about a data plane, which UMS writes."""
    return f"fleet/{pdp}/decisions.yaml"


def fleet_retired(pdp: PDPName) -> str:
    """Return the path of what is kept of a data plane that was removed, for good; UMS writes it."""
    return f"fleet/{pdp}/retired.yaml"


def plane_folder(pdp: PDPName) -> str:
    """Return the folder of a data plane on ``delivery``, with a slash at its end."""
    return f"pdps/{pdp}/"


def plane_kustomization(pdp: PDPName) -> str:
    """Return the path of the list of a data plane's files."""
    return f"{plane_folder(pdp)}kustomization.yaml"


def plane_state(pdp: PDPName) -> str:
    """Return the path of the ConfigMap ``ums-state``."""
    return f"{plane_folder(pdp)}state.yaml"


def plane_wrapper(pdp: PDPName, component: ComponentName) -> str:
    """Return the path of a component's wrapper."""
    return f"{plane_folder(pdp)}{component.object_name}.yaml"


def plane_component(pdp: PDPName, component: ComponentName, version: Version, values: str = "") -> str:
    """Return the folder of a component's objects, as a release provides them, with a data plane's own values.

    The release is part of the path, and the values are, so that what stands there never changes (ADR 0007).
    """
    # Beside the release's folder and not in it: without a list of its own, Flux takes all that is below a path.
    own = f"values-{Digest.of(values.encode()).hex[:_VALUES_DIGITS]}/" if values else ""
    return f"{plane_folder(pdp)}{component.bundle}/{component.component}/{own}{version}"


def plane_objects(pdp: PDPName, component: ComponentName, version: Version, values: str = "") -> str:
    """Return the path of a component's objects."""
    return f"{plane_component(pdp, component, version, values)}/objects.yaml"


def plane_values(pdp: PDPName, component: ComponentName, version: Version, values: str) -> str:
    """Return the path of what puts a data plane's own values into a component's objects."""
    return f"{plane_component(pdp, component, version, values)}/kustomization.yaml"
