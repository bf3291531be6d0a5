"""Whose signatures ``ums verify`` asks for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from ums.cli.verify import trust_of_keys, trust_of_service
from ums.client import Client
from ums.domain.errors import InvalidInputError


def key_file(folder: Path, content: str, name: str = "release.pub") -> Path:
    """Write a file of a key."""
    folder.mkdir()
    (folder / name).write_text(content)
    return folder / name


def test_every_key_counts_whatever_its_file_is_called(tmp_path: Path) -> None:
    """Two of one name are two, and one that is given twice is one."""
    files = [key_file(tmp_path / each, content) for each, content in (("a", "one\n"), ("b", "two\n"), ("c", "one"))]
    trust = trust_of_keys((*files,))
    rule = trust.rule_for("platform")
    assert (len(rule.signers), rule.threshold) == (2, 2)
    assert set(trust.trusted.release_keys.values()) == {"one", "two"}


@pytest.mark.parametrize("identity", ["https://github.com/acme/.*", "https://github.com/acme/app/.*@refs/tags/v1"])
def test_an_identity_of_the_service_is_no_pattern_in_disguise(identity: str) -> None:
    """As in trust.yaml: whoever answers for the service widens nothing."""

    class Answering:
        def get_trust(self) -> dict[str, object]:
            signers = {"ci": {"identity": identity, "issuer": "https://token.actions.githubusercontent.com"}}
            return {"signers": signers, "bundles": {"*": {"signers": ["ci"], "threshold": 1}}}

    with pytest.raises(InvalidInputError, match="characters of a pattern"):
        trust_of_service(cast(Client, Answering()))
