"""The typed client is what the OpenAPI document says."""

from __future__ import annotations

from tests.generate_client import FOLDER, formatted, generate


def test_the_client_is_made_of_the_document() -> None:
    """Whoever changes a route or a model runs ``make client``."""
    for name, text in formatted(generate()).items():
        assert (FOLDER / name).read_text() == text, f"{name} is behind: make client"
