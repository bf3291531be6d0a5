"""Routes for auditors: security events, and all that is kept in one stream."""

from __future__ import annotations

from typing import Any

from flask import Response

from ums.domain.identity import Permission
from ums.domain.instants import to_text
from ums.domain.security_log import Entry
from ums.services import Services
from ums.usecases.read_audit import Place, Record
from ums.web import answers
from ums.web.openapi import Area, asker, reads
from ums.web.paging import page, start_of
from ums.web.requests import AuditExportQuery, AuditQuery, instant
from ums.web.views import log_view

_MAX_DIGITS = 18


def add_audit_routes(api: Area, services: Services) -> None:
    """Add the routes."""

    @api.get("/audit", responses=reads(answers.SecurityEvents))
    def audit(query: AuditQuery) -> Response:
        """List security events, newest first."""
        by, since = asker(Permission.ADMIN), instant(query.since or None)
        entries = services.read_audit.newest(
            limit=query.limit + 1,
            by=by,
            before=start_of(query, _seq),
            kind=query.kind,
            subject=query.subject,
            since=to_text(since) if since else "",
        )
        return page(entries, query.limit, name=lambda each: str(each.seq), view=lambda each: each.to_dict())

    @api.get("/audit/export", responses=reads(answers.AuditRecords))
    def audit_export(query: AuditExportQuery) -> Response:
        """List all decisions and security events in one, oldest first."""
        by = asker(Permission.ADMIN)
        found = services.read_audit.stream(start_of(query, _place) or Place(), limit=query.limit + 1, by=by)
        return page(
            found,
            query.limit,
            name=lambda each: f"{each[1].seq}:{each[1].commit_id}",
            view=lambda each: _view(each[0]),
        )


def _view(record: Record) -> dict[str, Any]:
    if isinstance(record, Entry):
        return {"type": answers.SECURITY_EVENT, **record.to_dict()}
    return {"type": answers.DECISION, **log_view(record)}


def _place(text: str) -> Place:
    seq, _, commit_id = text.partition(":")
    return Place(_seq(seq), commit_id)


def _seq(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(text)
    return int(text)
