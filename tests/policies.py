"""Policies in force, for release repos that a test writes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Content = TypeVar("Content")


def accepted(files: Mapping[str, Content]) -> dict[str, Content]:
    """Return the files with every channel's policy in force, as the loop leaves them."""
    ending = "/policy.yaml"
    copies = {path.removesuffix(ending) + "/policy.in-force.yaml" for path in files if path.endswith(ending)}
    return {**files, **{path: files[path.replace(".in-force", "")] for path in copies}}
