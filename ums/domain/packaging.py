"""What packaging a component yields, and what the objects of a component run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ums.domain.artifact import Artifact
from ums.domain.bundle import Workload
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.version import Version

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_WATCHED = {"Deployment", "StatefulSet", "DaemonSet", "Job"}


@dataclass(frozen=True, slots=True)
class PackagedComponent:
    """An artifact and what was learned while making it.

    Attributes:
        content_digest: of the uncompressed layer.
        images: every image the component runs, as written in it or in its image lock.
        workloads: the objects whose health is the component's.

    """

    artifact: Artifact
    version: Version
    content_digest: Digest
    images: tuple[str, ...]
    workloads: tuple[Workload, ...]


def images_of(objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield every image that objects run: of containers and of image volumes, however deep (CronJobs, custom kinds).

    Images that a controller runs for a custom resource are not known, nor are those in text, such as a ConfigMap's.

    Raises:
        InvalidInputError: an image is something else than text, which another reader could take for text.

    """
    for each in objects:
        # A schema may describe containers without running any.
        if not _is_schema(each):
            yield from _images(each)


def _images(value: Any) -> Iterator[str]:  # noqa: ANN401 - any YAML value
    if isinstance(value, dict):
        for name in _CONTAINERS:
            yield from _references(value.get(name), "image")
        volumes = value.get("volumes")
        for volume in volumes if isinstance(volumes, list) else ():
            if isinstance(volume, dict):
                yield from _references([volume.get("image")], "reference")
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _images(each)


def _references(items: Any, field: str) -> Iterator[str]:  # noqa: ANN401 - any YAML value
    for item in items if isinstance(items, list) else ():
        match item.get(field) if isinstance(item, dict) else None:
            case str(image):
                yield image
            case bool() | int() | float() as image:
                raise InvalidInputError(f"an image is {image!r}, which is not text", hint="put it in quotes")


def workloads_of(objects: Iterable[Mapping[str, Any]], namespace: str) -> Iterator[Workload]:
    """Yield the objects whose health is that of a component in ``namespace``.

    Raises:
        InvalidInputError: one lacks ``apiVersion`` or ``metadata.name``.

    """
    for each in objects:
        if each.get("kind") in _WATCHED and not _vanishes(each):
            match each:
                case {"apiVersion": str(api_version), "metadata": {"name": str(name), **metadata}}:
                    yield Workload(api_version, each["kind"], str(metadata.get("namespace") or namespace), name)
                case _:
                    raise InvalidInputError(f"a {each['kind']} lacks apiVersion or metadata.name")


def _is_schema(item: Mapping[str, Any]) -> bool:
    match item:
        case {"kind": "CustomResourceDefinition", "apiVersion": str(api_version)}:
            return api_version.startswith("apiextensions.k8s.io/")
    return False


def _vanishes(workload: Mapping[str, Any]) -> bool:
    """Return whether a workload is gone once it is done, so that waiting for it would fail."""
    match workload:
        case {"metadata": {"annotations": {"helm.sh/hook": _}}} | {"spec": {"ttlSecondsAfterFinished": int()}}:
            return True
    return False
