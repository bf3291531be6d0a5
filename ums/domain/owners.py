"""Who may change what keeps a data plane where it is, and with which command.

Each of these names a role that the use case behind the command accepts, with the limits that it may have.
"""

from __future__ import annotations


def operator(org: str, command: str) -> str:
    """Return how an operator changes something of one organization's data planes."""
    return f"an operator of {org} ({command})"


def engineer(command: str) -> str:
    """Return how a release engineer changes something that concerns all organizations."""
    return f"a release engineer ({command})"


def registrar(org: str, command: str) -> str:
    """Return how the registration of one of an organization's data planes is changed: operators may not."""
    return f"an admin of {org} ({command})"


def administrator(command: str) -> str:
    """Return how whoever runs the service changes something, on its machine."""
    return f"an administrator of the service ({command})"
