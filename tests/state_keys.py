"""Public halves of state keys, for tests that sign nothing with them."""

from __future__ import annotations

FIRST = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAuOjVvEWQAy9L6Vdx5zDpFhQuuwtJreteoa7rT1MW4w"
SECOND = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFe5iHZuCMySQCe4PgR72O3JC8y5n0LYt/+d9MFDKu3I"
