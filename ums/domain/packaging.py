"""What packaging a component yields."""

from __future__ import annotations

from dataclasses import dataclass

from ums.domain.artifact import Artifact
from ums.domain.bundle import Workload
from ums.domain.digest import Digest
from ums.domain.version import Version


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
