"""The API from Python, typed.

::

    from ums.client import Client, items_of

    client = Client("https://ums.example.com", token)
    client.promote("stable", release="platform@1.2.0", reason="CVE-2026-1")
    for plane in items_of(client.get_planes, channel="stable"):
        print(plane["pdp"], plane["health"])

What is sent and answered has the names of the OpenAPI document; ``shapes`` describes it. Errors of the service are
raised as the classes of ``ums.domain.errors``. Changes carry an ``Idempotency-Key``, so that one whose answer was lost
is sent again and made once.
"""

from __future__ import annotations

from ums.client.connection import items_of
from ums.client.operations import Client

__all__ = ["Client", "items_of"]
