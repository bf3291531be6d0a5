"""What is in force of the files that people write, for release repos that a test writes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ums.domain.layout import in_force

Content = TypeVar("Content")


def accepted(files: Mapping[str, Content]) -> dict[str, Content]:
    """Return the files with what is in force of those that people write, as the loop leaves them."""
    theirs = ("ums.yaml", "trust.yaml", "access.yaml", "/policy.yaml", "/registration.yaml")
    return {**files, **{in_force(path): content for path, content in files.items() if path.endswith(theirs)}}
