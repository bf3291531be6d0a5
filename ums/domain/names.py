"""Names that people choose: of bundles, components, channels, organizations and data planes.

They become parts of repository paths, Git paths, Kubernetes names and URLs, so one rule that holds in
all of these is applied everywhere: an RFC 1123 label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from ums.domain.errors import InvalidInputError

MAX_NAME_LENGTH = 40
NAME_PATTERN = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_NAME = re.compile(NAME_PATTERN)


def check_name(text: str, kind: str = "name") -> str:
    """Return ``text`` when it is a valid name.

    Raises:
        InvalidInputError: it is not; the message says which kind of name was expected.

    """
    if len(text) > MAX_NAME_LENGTH or not _NAME.fullmatch(text):
        raise InvalidInputError(
            f"{text!r:.60} is not a valid {kind}",
            hint=f"use lower-case letters, digits and dashes, at most {MAX_NAME_LENGTH}, "
            "beginning and ending with a letter or digit",
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class PDPName:
    """``<org>/<pdp>``: a data plane and the organization it belongs to."""

    org: str
    pdp: str

    def __post_init__(self) -> None:
        check_name(self.org, "organization name")
        check_name(self.pdp, "data plane name")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``org/pdp``.

        Raises:
            InvalidInputError: there is not exactly one slash, or a part is no name.

        """
        org, slash, pdp = text.partition("/")
        if not slash:
            raise InvalidInputError(
                f"{text!r:.90} does not name a data plane", hint="write <organization>/<data plane>, e.g. acme/prod"
            )
        return cls(org, pdp)

    def __str__(self) -> str:
        return f"{self.org}/{self.pdp}"


@dataclass(frozen=True, slots=True, order=True)
class ComponentName:
    """``<bundle>/<component>``."""

    bundle: str
    component: str

    def __post_init__(self) -> None:
        check_name(self.bundle, "bundle name")
        check_name(self.component, "component name")

    @property
    def object_name(self) -> str:
        """Return the name of this component's Kubernetes objects."""
        return f"{self.bundle}-{self.component}"

    @property
    def content_name(self) -> str:
        """Return the name of the Kustomization that applies this component's own manifests.

        The wrapper is a Kustomization too, and has ``object_name``.
        """
        return f"{self.object_name}-content"

    def __str__(self) -> str:
        return f"{self.bundle}/{self.component}"
