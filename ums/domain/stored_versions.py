"""Which versions of an API a cluster still has objects of, on disk, and of which it need not have any.

Kubernetes: CustomResourceDefinition v1. A version that stands in ``status.storedVersions`` cannot be left out of
``spec.versions`` – the API server refuses it –, and leaves that list only by somebody's hand: after every object
was written once more, in the version that is stored now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FLUX_GROUPS = ".toolkit.fluxcd.io"
"""How the names of Flux's API groups end."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A custom resource definition, as far as versions go.

    Attributes:
        name: ``<plural>.<group>``.
        served: a version in which its objects can be asked for; empty if there is none.
        storage: the version in which objects are written now.
        stored: the versions in which there may be objects.
        revision: of the object in the cluster; another one says that somebody changed it.

    """

    name: str
    group: str
    plural: str
    served: str
    storage: str
    stored: tuple[str, ...]
    revision: str

    @property
    def outdated(self) -> tuple[str, ...]:
        """Return the versions in which there may be objects, and need not be."""
        return tuple(version for version in self.stored if version != self.storage)


@dataclass(frozen=True, slots=True, order=True)
class StoredObject:
    """An object of a definition; the namespace is empty where objects have none."""

    namespace: str
    name: str


def to_migrate(definitions: Iterable[Definition]) -> tuple[Definition, ...]:
    """Return Flux's own definitions with objects that may have to be written once more, by name."""
    found = [each for each in definitions if f".{each.group}".endswith(FLUX_GROUPS) and each.outdated]
    return tuple(sorted(found, key=lambda each: each.name))
