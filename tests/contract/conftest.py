"""Databases, for every test of what keeps something in one."""

from __future__ import annotations

import pytest

from tests.contract.places import Place, new_place


@pytest.fixture(params=["file", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """Give a database with nothing in it."""
    return new_place(request.param, request)
