"""Custom resources of a cluster, in whatever version they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ums.adapters._kube import KubeConnection
from ums.domain.errors import UnavailableError
from ums.domain.stored_versions import Definition, StoredObject

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_NAMES_ALONE = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_RIGHTS = (
    "its account needs list of customresourcedefinitions, get of them, patch of their status, "
    "and list and patch of what they define"
)


class KubeCustomResources:
    """Implements ``ports.CustomResources``; ``authorities`` is a file of certificates to trust."""

    def __init__(self, url: str, token: str, authorities: Path) -> None:
        """Prepare to ask.

        Raises:
            InvalidInputError: the URL is none that a token may be sent to.

        """
        self._kube = KubeConnection(url, token, authorities, rights=_RIGHTS)

    def definitions(self) -> Iterator[Definition]:
        """Yield every definition."""
        return self._kube.items(_DEFINITIONS, {}, _definition)

    def definition(self, name: str) -> Definition:
        """Return a definition as it is now."""
        data = self._kube.get(f"{_DEFINITIONS}/{name}", {})
        try:
            return _definition(data)
        except (KeyError, TypeError, AttributeError, StopIteration) as error:
            raise UnavailableError(f"{self._kube.url}{_DEFINITIONS}/{name} is no definition: {error!r}") from error

    def objects(self, definition: Definition) -> Iterator[StoredObject]:
        """Yield the names of a definition's objects; nothing else of them is read."""
        return self._kube.items(f"{_api(definition)}/{definition.plural}", {}, _object, accept=_NAMES_ALONE)

    def rewrite(self, definition: Definition, stored: StoredObject) -> None:
        """Have an object written once more, by changes that are none: it is never read, and so never taken back."""
        namespace = f"/namespaces/{stored.namespace}" if stored.namespace else ""
        self._kube.patch(f"{_api(definition)}{namespace}/{definition.plural}/{stored.name}", {})

    def trim(self, definition: Definition) -> None:
        """Say that objects are stored in one version, unless the definition was changed meanwhile."""
        self._kube.patch(
            f"{_DEFINITIONS}/{definition.name}/status",
            {
                "metadata": {"resourceVersion": definition.revision},
                "status": {"storedVersions": [definition.storage]},
            },
        )


def _api(definition: Definition) -> str:
    return f"/apis/{definition.group}/{definition.served}"


def _definition(data: Any) -> Definition:  # noqa: ANN401 - any JSON value
    metadata, spec = data["metadata"], data["spec"]
    storage = next(str(each["name"]) for each in spec["versions"] if each["storage"])
    served = [str(each["name"]) for each in spec["versions"] if each["served"]]
    return Definition(
        name=str(metadata["name"]),
        group=str(spec["group"]),
        plural=str(spec["names"]["plural"]),
        served=storage if storage in served else next(iter(served), ""),
        storage=storage,
        stored=tuple(str(each) for each in (data.get("status") or {}).get("storedVersions") or ()),
        revision=str(metadata["resourceVersion"]),
    )


def _object(data: Any) -> StoredObject:  # noqa: ANN401 - any JSON value
    return StoredObject(str(data["metadata"].get("namespace") or ""), str(data["metadata"]["name"]))
