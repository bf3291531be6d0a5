"""The service's composition root: its adapters are made here and put where a port is asked for. Read it top to bottom.

The other root is ``publisher``. They share no key: the service holds the state key, the publisher the release key.
"""

from __future__ import annotations

import base64
import hmac
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Any

from ums import __version__
from ums.adapters._database import Database
from ums.adapters._release_files import parse_policy
from ums.adapters.cosign_bundle import check_release_key
from ums.adapters.data_backup import Backup, Parts, back_up, restore
from ums.adapters.derived_credentials import MASTER_BYTES, DerivedCredentials
from ums.adapters.git_host import GitHost
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.git_views import GitViews
from ums.adapters.leadership import FileLeadership, PostgresLeadership
from ums.adapters.local_disk import LocalDisk
from ums.adapters.metered_release_repo import MeteredReleaseRepo
from ums.adapters.oras_registry import OrasRegistry
from ums.adapters.private_files import keep_private, make_private
from ums.adapters.prometheus_meter import PrometheusMeter
from ums.adapters.sql_clock import SqlClock
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_sessions import SqlSessions
from ums.adapters.sql_store import SqlStore
from ums.adapters.sql_webhooks import SqlWebhooks
from ums.adapters.ssh_signature import SSHStateSigner, check_state_key
from ums.adapters.system_clock import SystemClock
from ums.adapters.trust_folder import trust_content
from ums.adapters.webhook_sender import WebhookSender
from ums.config import LEADER_LOCK, Settings
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    Reason,
    RefusedError,
    StorageError,
    TooManyRequestsError,
    UmsError,
    UnauthenticatedError,
)
from ums.domain.identity import ALL, Grant, Holder, Identity, Permission
from ums.domain.instants import to_text
from ums.domain.issuers import Issuer
from ums.domain.names import PDPName
from ums.domain.security_log import Entry, SecurityKind
from ums.domain.throttling import client_key
from ums.domain.trusting import unaware_of_state_key
from ums.domain.world import Topology
from ums.edge.forwarded import behind_proxies
from ums.edge.git_http import GitHTTP
from ums.edge.registry import Challenge, EmbeddedRegistry
from ums.edge.registry_care import Checked, Collected, check, collect
from ums.edge.registry_messages import Access
from ums.edge.registry_storage import Storage
from ums.edge.routes import git_route, registry_route, view_route
from ums.edge.view_http import ViewHTTP, is_view
from ums.outcomes import outcome_of
from ums.ports import IdentityProvider, Leadership, ReleaseRepo
from ums.publisher import make_verifier
from ums.services import Services
from ums.usecases.check_trust import Keys
from ums.usecases.initialize import Initialize, Seed
from ums.usecases.instruct import Why
from ums.usecases.read_audit import all_entries
from ums.usecases.record import Record
from ums.usecases.reindex import Reindex, Reindexed
from ums.usecases.rotate_keys import KeyChange, RotateKeys
from ums.usecases.security_events import SecurityEvents
from ums.usecases.tokens import IssueToken
from ums.usecases.verify import Verify
from ums.usecases.watch_clock import AcceptClock, WatchClock
from ums.waiting import will_wait
from ums.web.app import create_app
from ums.web.errors import retry_after
from ums.web.headers import Secured
from ums.web.observing import Observed, note, origin

_LOG = logging.getLogger(__name__)
WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

EMBEDDED_PREFIX = "/v2"
GIT_PREFIX = "/git"
RELEASE_REPO_PREFIX = f"{GIT_PREFIX}/release-repo"
_RETRY_SECONDS = "5"
_FRESH_SECONDS = 0.05
"""So long polls are answered without asking the disk where the branches are."""
COMMIT_AUTHOR = "UMS <ums@localhost>"
_SERVICE_USER = "ums-service"
"""Reads the embedded registry on behalf of the service itself, over HTTP like everybody else."""


def prepare(settings: Settings) -> None:
    """Make the data folder private, the database current, and look at the release repo, before there is a process.

    Raises:
        NotFoundError: the data folder was not initialized.
        UnavailableError: the database does not answer, or the release repo is gone or damaged.
        StorageError: the database refuses, or is newer than this program.

    """
    _check_initialized(settings)
    _open_store(settings).close()
    GitReleaseRepo(settings.release_repo, SSHStateSigner.load(settings.state_key), author=COMMIT_AUTHOR).check()


def _open_store(settings: Settings) -> SqlStore:
    if settings.local_database is not None:
        make_private(settings.local_database)
    return SqlStore(settings.database, password=settings.database_password, master=_master(settings))


def _master(settings: Settings) -> bytes:
    """Return the master secret.

    Raises:
        StorageError: it cannot be read, or is none.

    """
    try:
        master = settings.master_key.read_bytes()
    except OSError as error:
        raise StorageError(
            f"cannot read the master key {settings.master_key}: {error.strerror}",
            hint="bring it back from a backup; docs/reference/keys.md says what is lost without it",
        ) from error
    if len(master) != MASTER_BYTES:
        raise StorageError(f"{settings.master_key} is no master key: it has {len(master)} bytes, not {MASTER_BYTES}")
    return master


def _check_initialized(settings: Settings) -> None:
    if not settings.state_key.exists():
        raise NotFoundError(f"{settings.data} holds no UMS data", hint=f"ums init {settings.data} makes it")
    keep_private(settings.data, settings.private_paths)


def make_services(settings: Settings, wake: Callable[[], None] = lambda: None) -> Services:
    """Wire the service.

    Raises:
        NotFoundError: the data folder was not initialized.
        UnavailableError, StorageError: the database cannot be used.

    """
    _check_initialized(settings)
    clock = SystemClock()
    store = _open_store(settings)
    security = SecurityEvents(SqlSecurityLog(store.database), clock, origin)
    signer = SSHStateSigner.load(settings.state_key)
    repo = GitReleaseRepo(
        settings.release_repo, signer, author=COMMIT_AUTHOR, anchor=security.anchor, fresh_for=_FRESH_SECONDS
    )
    meter = PrometheusMeter(__version__)
    release_repo = MeteredReleaseRepo(repo, meter)
    credentials = DerivedCredentials(_master(settings))
    fleet = release_repo.read().settings
    login = (settings.registry_username, settings.registry_password)
    if fleet.registry_login and login == (None, None):
        login = (_SERVICE_USER, _service_password(settings))
    registry = OrasRegistry(username=login[0], password=login[1], plain_http=fleet.plain_http)
    verify = Verify(registry, make_verifier())
    return Services.wire(
        release_repo=release_repo,
        views=GitViews(settings.release_repo, signer, author=COMMIT_AUTHOR, read=release_repo.read),
        store=store,
        clock=clock,
        verify=verify,
        keys=_keys(signer),
        credentials=credentials,
        parse_policy=parse_policy,
        webhooks=SqlWebhooks(store.database),
        sender=WebhookSender(),
        meter=meter,
        security=security,
        host=GitHost(settings.release_repo, repo, settings.git_host) if settings.git_host else None,
        sessions=SqlSessions(store.database),
        provider=_provider(settings.issuer) if settings.issuer else None,
        disk=LocalDisk(settings.data, settings.state_key, settings.master_key, *filter(None, [settings.database_file])),
        history_retention=settings.history_retention,
        watch=WatchClock(clock, SqlClock(store.database)),
        wake=wake,
    )


def _provider(issuer: Issuer) -> IdentityProvider:
    # Authlib and its JOSE library keep 8 MB, and nobody else needs them.
    from ums.adapters.oidc_provider import OIDCProvider  # noqa: PLC0415

    return OIDCProvider(issuer)


def make_leadership(settings: Settings) -> Leadership:
    """Return what tells of all processes on one database which one leads."""
    if settings.database_file:
        return FileLeadership(settings.data / LEADER_LOCK)
    # Beside the pool of the others: where that is busy, it is still known who leads.
    return PostgresLeadership(Database(settings.database, password=settings.database_password))


def make_wsgi(settings: Settings, services: Services) -> WSGI:
    """Put the edge, which data planes speak to, before the API: polls and pulls never pass through Flask."""
    api = create_app(services, anonymous=settings.metrics_anonymous)
    git = GitHTTP(settings.release_repo, authorize=lambda header: _repo_access(services, settings, header))
    registry = EmbeddedRegistry(
        settings.registry,
        authorize=lambda header, access, repository: _registry_access(
            services, settings, header, repository=repository, access=access
        ),
        has_fixed_tags=lambda repository: repository.startswith(
            f"{services.release_repo.read().settings.registry.path}/"
        ),
        released=lambda: services.release_repo.read().released_digests(),
        is_unread=lambda repository: services.release_repo.read().holds_unread(repository),
        caller=lambda header: _caller(services, header),
    )

    def edge(app: WSGI, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except UmsError as error:
            # Who asks could not be looked up. Nothing was answered yet: that comes first.
            status = HTTPStatus(outcome_of(error).status)
            headers = [("Content-Type", "text/plain; charset=utf-8")]
            if isinstance(error, TooManyRequestsError):
                headers.append(("Retry-After", retry_after(error)))
            elif status == HTTPStatus.SERVICE_UNAVAILABLE:
                headers.append(("Retry-After", _RETRY_SECONDS))
            start_response(f"{status.value} {status.phrase}", headers)
            return [f"{error.message}\n".encode()]

    views = ViewHTTP(
        services.serve_view,
        authorize=lambda header, pdp, write: _view_access(services, settings, header, pdp=pdp, write=write),
    )

    def below(prefix: str, environ: dict[str, Any]) -> None:
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(GIT_PREFIX + "/") and is_view(path.removeprefix(GIT_PREFIX)):
            below(GIT_PREFIX, environ)
            route = view_route(environ["PATH_INFO"])
            note(surface="view", route=route, is_routine=route.endswith("/info/refs"))
            return edge(views, environ, start_response)
        will_wait()  # as all others do
        if path.startswith(RELEASE_REPO_PREFIX + "/"):
            below(RELEASE_REPO_PREFIX, environ)
            note(surface="git", route=git_route(environ["PATH_INFO"]))
            return edge(git, environ, start_response)
        if path == EMBEDDED_PREFIX or path.startswith(EMBEDDED_PREFIX + "/"):
            note(surface="registry", route=registry_route(path))
            return edge(registry, environ, start_response)
        return api(environ, start_response)

    return behind_proxies(Secured(Observed(dispatch, services.meter)), settings.trusted_proxies)


def _basic(header: str | None) -> tuple[str, str] | None:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # no Base64, or no UTF-8 in it, or a header that is no ASCII
        return None
    return (user, password) if colon else None


def _asker(services: Services, settings: Settings, header: str | None) -> PDPName | Identity | str | None:
    """Return who asks: a data plane, the holder of a token, or the service itself; ``None`` if nobody proves it."""
    login = _basic(header)
    if login is None:
        return None
    user, password = login
    if user == _SERVICE_USER:
        right = hmac.compare_digest(password.encode(), _service_password(settings).encode())
        note(subject=user if right else "")
        if not right:
            services.security.note(SecurityKind.AUTHENTICATION_FAILED, claims=_SERVICE_USER)
        return user if right else None
    plane = services.authenticate_plane.by_password(user, password)
    if plane is None:
        return _holder(services, user, password)
    note(subject=str(plane))
    return plane


def _access(
    services: Services, asker: PDPName | Identity | str | None, request: str, *, org: str | None, plane: bool
) -> Challenge | None:
    """Return what speaks against reading; a data plane may if ``plane``, the service itself always."""
    if asker is None:
        return Challenge.UNAUTHENTICATED
    if isinstance(asker, Identity):
        try:
            asker.require(Permission.READ, org=org)
        except ForbiddenError as error:
            _note_denied(services, asker, request, error)
            return Challenge.FORBIDDEN
    if isinstance(asker, PDPName) and not plane:
        services.security.note(SecurityKind.PERMISSION_DENIED, subject=str(asker), request=request)
        return Challenge.FORBIDDEN
    return None


def _view_access(
    services: Services, settings: Settings, header: str | None, *, pdp: PDPName, write: bool
) -> Challenge | None:
    """Let a data plane read its own view, and the holders of tokens those that they may see; nobody writes."""
    asker = _asker(services, settings, header)
    request = f"{'push to' if write else 'read'} the view of {pdp}"
    denied = _access(services, asker, request, org=pdp.org, plane=asker == pdp and not write)
    return denied or (Challenge.FORBIDDEN if write else None)


def _repo_access(services: Services, settings: Settings, header: str | None) -> Challenge | None:
    """Let those read the release repo who may see every organization; data planes where they share it."""
    asker = _asker(services, settings, header)
    shared = services.release_repo.read().settings.topology is Topology.SHARED
    return _access(services, asker, "read the release repo", org=ALL, plane=shared)


def _holder(services: Services, user: str, token: str) -> Identity | None:
    try:
        identity = services.authenticate(token, user=user)
    except UnauthenticatedError:
        # A right one is let in always: many may share an address, and one of them be wrong.
        client = client_key(origin().address)
        services.wrong_tokens.require(client, services.clock.now(), "wrong credentials from here")
        return None
    note(subject=identity.subject)
    return identity


def _caller(services: Services, header: str | None) -> str:
    """Return whose uploads a request counts among: all tokens of one holder are one."""
    user, token = _basic(header) or ("", "")
    try:
        return services.authenticate(token, user=user).subject
    except UnauthenticatedError:
        return user or "?"


def _registry_access(
    services: Services, settings: Settings, header: str | None, *, repository: str, access: Access
) -> Challenge | None:
    """Let data planes and tokens pull, push only tokens that may publish that bundle, and delete only its admins."""
    login = _basic(header)
    if login is None:
        return Challenge.UNAUTHENTICATED
    if access is Access.READ:
        # What is in the registry concerns no organization.
        return _access(services, _asker(services, settings, header), "pull", org=None, plane=True)
    request = f"{access.value} {repository}"
    plane = services.authenticate_plane.by_password(*login)
    if plane is not None:
        services.security.note(SecurityKind.PERMISSION_DENIED, subject=str(plane), request=request)
        return Challenge.FORBIDDEN
    identity = _holder(services, *login)
    if identity is None:
        return Challenge.UNAUTHENTICATED
    prefix = f"{services.release_repo.read().settings.registry.path}/"
    # Elsewhere no part of the path is a bundle, whatever it is called.
    bundle = repository.removeprefix(prefix).partition("/")[0] if repository.startswith(prefix) else ALL
    try:
        if access is Access.DELETE:
            # What is gone is gone for every channel and organization.
            identity.require(Permission.ADMIN, bundle=bundle, channel=ALL, org=ALL)
        else:
            identity.require(Permission.PUBLISH, bundle=bundle)
    except ForbiddenError as error:
        _note_denied(services, identity, request, error)
        return Challenge.FORBIDDEN
    return None


def _note_denied(services: Services, identity: Identity, request: str, error: ForbiddenError) -> None:
    services.security.note(
        SecurityKind.PERMISSION_DENIED, subject=identity.subject, request=request, message=error.message
    )


def _service_password(settings: Settings) -> str:
    will_wait()
    return hmac.new(settings.master_key.read_bytes(), b"ums/v1/service", "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Initialized:
    """What ``ums init`` made. ``token`` is shown once."""

    token: str
    offline_state_key: Path


def initialize(settings: Settings, seed: Seed, channels: Path | None = None) -> Initialized:
    """Make a data folder: two state keys, the master secret, the release repo with its seed, the first token.

    ``seed.state_keys`` is filled in here. ``channels`` is a folder of channels, in place of the four that we ship.

    Raises:
        ConflictError: the folder is initialized already.
        StorageError: the disk or the database refused.
        UnavailableError: the database does not answer.

    """
    if settings.state_key.exists():
        raise ConflictError(f"{settings.data} is initialized already", hint=f"ums serve {settings.data} runs it")
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        keep_private(settings.data, settings.private_paths)
        if not settings.master_key.exists():
            _write_secret(settings.master_key, secrets.token_bytes(MASTER_BYTES))
    except OSError as error:
        raise StorageError(f"cannot write to {settings.data}: {error.strerror}") from error
    # Opened before there is anything to leave behind: it may be elsewhere, and not answer.
    with closing(_open_store(settings)) as store:
        offline = SSHStateSigner.load_or_generate(settings.offline_state_key)
        # Made under another name first: the state key in its place is what says that all before it succeeded.
        pending = settings.pending_state_key
        signer = SSHStateSigner.load_or_generate(pending)
        GitReleaseRepo.create(settings.release_repo)
        repo = GitReleaseRepo(settings.release_repo, signer, author=COMMIT_AUTHOR)
        keys = (signer.public_key, offline.public_key)
        seed = replace(seed, state_keys=keys)
        clock = SystemClock()
        Initialize(repo, clock, parse_policy)(seed_templates(channels), seed, actor="ums init")
        admin = Holder("admin", frozenset({"admin"}))
        security = SecurityEvents(SqlSecurityLog(store.database), clock)
        token = IssueToken(store, clock, security)(admin, expires=None, by=replace(admin, subject="ums init").identity)
    pending.rename(settings.state_key)
    return Initialized(token, settings.offline_state_key)


def back_up_data(settings: Settings, target: Path, *, registry: bool) -> Backup:
    """Write a backup of a data folder.

    Raises:
        NotFoundError: the folder was not initialized.
        ConflictError: there is a file of that name.
        StorageError: the disk refused.

    """
    _check_initialized(settings)
    parts = _parts(settings)
    if not settings.file.exists():
        parts = replace(parts, files={name: path for name, path in parts.files.items() if path != settings.file})
    if not registry or not settings.registry.exists():
        parts = replace(parts, registry=None)
    # Pushes go on; what the backup has begun to read is not removed.
    with Storage(settings.registry).held() if parts.registry else nullcontext():
        made = back_up(parts, target, at=to_text(SystemClock().now()))
    _note(settings, SecurityKind.BACKUP_MADE, backup=made.at, main=made.heads.get("refs/heads/main", ""))
    return made


def restore_data(settings: Settings, source: Path) -> Backup:
    """Bring a backup back into a data folder that holds nothing yet.

    Raises:
        ConflictError: it holds something.
        InvalidInputError: it is no backup.
        StorageError: the disk refused.

    """
    made = restore(source, _parts(settings), last=settings.state_key.name)
    keep_private(settings.data, settings.private_paths)
    if settings.database_file is not None:
        # However old the backup: whoever restores it here means to go on from now. An earlier UMS had no such table.
        with closing(Database(settings.database)) as database, suppress(StorageError):
            SqlClock(database).reset(SystemClock().now())
    _note(settings, SecurityKind.BACKUP_RESTORED, backup=made.at, main=made.heads.get("refs/heads/main", ""))
    return made


def _local_user() -> str:
    return f"uid {os.getuid()}"


def _administrator() -> Identity:
    return Identity(_local_user(), grants=(Grant("admin"),))


def _note(settings: Settings, kind: SecurityKind, **what: object) -> None:
    """Keep a security event of somebody on this machine, as well as can be: a backup must not need a database."""
    try:
        with _security_log(settings) as log:
            SecurityEvents(log, SystemClock()).note(kind, subject=_local_user(), **what)
    except UmsError as error:
        _LOG.warning("the security log does not tell of this: %s", error.message)


def security_entries(settings: Settings) -> Iterator[Entry]:
    """Yield the security log of a service, oldest first, as its database holds it; it is not brought up to date.

    Raises:
        NotFoundError: there is no database.
        UnavailableError, StorageError: it does not answer, or holds no security log.

    """
    with _security_log(settings) as log:
        yield from all_entries(log)


@contextmanager
def _security_log(settings: Settings) -> Iterator[SqlSecurityLog]:
    """Open the security log where it is; unlike a store, this migrates nothing."""
    file = settings.database_file
    if file is not None and not file.exists():
        raise NotFoundError(f"{settings.data} holds no database", hint="is it elsewhere? UMS_DATABASE_URL says where")
    with closing(Database(settings.database, password=settings.database_password)) as database:
        yield SqlSecurityLog(database)


def reindex_data(settings: Settings, *, dry_run: bool) -> Reindexed:
    """Bring the database in line with the release repo; a database that is gone is made.

    Raises:
        NotFoundError: the folder was not initialized.
        UnavailableError, StorageError: the database or the release repo cannot be used.

    """
    _check_initialized(settings)
    repo = GitReleaseRepo(settings.release_repo, SSHStateSigner.load(settings.state_key), author=COMMIT_AUTHOR)
    with closing(_open_store(settings)) as store:
        clock = SystemClock()
        security = SecurityEvents(SqlSecurityLog(store.database), clock)
        reindex = Reindex(repo, store, SqlWebhooks(store.database), clock, security)
        done = reindex(by=_local_user(), dry_run=dry_run)
        if not dry_run:
            SqlClock(store.database).reset(clock.now())  # a database that was lost does not say when the service ran
        return done


@dataclass(frozen=True, slots=True)
class StateKeyRotated:
    """What became of a state key.

    Attributes:
        key: the new one's public half, in OpenSSH's form.
        replaced: the file with the public half of the one whose place it took; ``None`` while it stands by.

    """

    key: str
    replaced: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in answers."""
        return {"key": self.key, "replaced": str(self.replaced) if self.replaced else None}


def rotate_state_key(settings: Settings, *, reason: str, dry_run: bool) -> StateKeyRotated:
    """Make the next state key and name it in trust.yaml; or put it in place, once every data plane knows it.

    Raises:
        NotFoundError: the folder was not initialized.
        RefusedError: a data plane may not know the key yet, and would refuse what it signs.
        InvalidInputError: a reason is missing, or a key cannot be read.
        UnavailableError, StorageError: the database or the release repo cannot be used.

    """
    _check_initialized(settings)
    clock, signer = SystemClock(), SSHStateSigner.load(settings.state_key)
    repo = GitReleaseRepo(settings.release_repo, signer, author=COMMIT_AUTHOR)
    with closing(_open_store(settings)) as store:
        record = Record(repo, store, clock, clock_problem=WatchClock(clock, SqlClock(store.database)).problem)
        why = Why(_administrator(), reason)
        why.given(clock.now())
        world = record.world()
        if dry_run and not settings.next_state_key.exists():
            return StateKeyRotated("(to be made)", None)
        key = SSHStateSigner.load_or_generate(settings.next_state_key).public_key
        if key not in world.trust.state_keys:
            rotate = RotateKeys(record, _keys(signer))
            rotate(KeyChange(add_state_keys=(key,)), why, dry_run=dry_run)
            return StateKeyRotated(key, None)
        if unaware := unaware_of_state_key(world, key):
            reasons = [Reason("state-key-not-known", f"{name} may not know it yet") for name in unaware]
            raise RefusedError(
                "the next state key cannot take over: data planes would refuse what it signs",
                tuple(reasons),
                hint="ums keys publish, promote it, and wait until ums keys status says none",
            )
        if not dry_run:
            settings.old_state_key.write_text(f"{signer.public_key}\n")
            settings.next_state_key.replace(settings.state_key)
        return StateKeyRotated(key, settings.old_state_key)


@dataclass(frozen=True, slots=True)
class ClockAccepted:
    """What became of a clock that was not trusted.

    Attributes:
        at: the time that was accepted, RFC 3339.
        renumbered: the data planes whose states got new serials.

    """

    at: str
    renumbered: tuple[PDPName, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in answers."""
        return {"at": self.at, "renumbered": [str(each) for each in self.renumbered]}


def accept_clock(settings: Settings, *, reason: str, dry_run: bool) -> ClockAccepted:
    """Accept the time of this machine's clock, and number anew what clusters would refuse as being ahead of it.

    Raises:
        NotFoundError: the folder was not initialized.
        InvalidInputError: a reason is missing.
        UnavailableError, StorageError: the database or the release repo cannot be used.

    """
    _check_initialized(settings)
    clock, signer = SystemClock(), SSHStateSigner.load(settings.state_key)
    repo = GitReleaseRepo(settings.release_repo, signer, author=COMMIT_AUTHOR)
    with closing(_open_store(settings)) as store:
        security = SecurityEvents(SqlSecurityLog(store.database), clock)
        accept = AcceptClock(Record(repo, store, clock), clock, SqlClock(store.database), security)
        renumbered = accept(Why(_administrator(), reason), dry_run=dry_run)
        return ClockAccepted(to_text(clock.now()), renumbered)


def _keys(signer: SSHStateSigner) -> Keys:
    return Keys(signer.public_key, trust_content, check_release_key, check_state_key)


def collect_registry(settings: Settings, *, dry_run: bool) -> Collected:
    """Remove from the embedded registry what nothing reaches; it may be serving.

    Raises:
        NotFoundError: the folder was not initialized.
        StorageError: the disk refused.

    """
    _check_initialized(settings)
    repo = GitReleaseRepo(settings.release_repo, SSHStateSigner.load(settings.state_key), author=COMMIT_AUTHOR)
    return _collect(settings, repo, dry_run=dry_run)


def collect_daily(settings: Settings, services: Services) -> None:
    """Do so as a job, and log what came of it."""
    done = _collect(settings, services.release_repo, dry_run=False)
    for problem in done.problems:
        _LOG.warning("the embedded registry: %s", problem)
    if done.content or done.manifests or done.blobs or done.drafts:
        _LOG.info("collected", extra={"manifests": len(done.manifests), "blobs": len(done.content), "bytes": done.size})


def _collect(settings: Settings, repo: ReleaseRepo, *, dry_run: bool) -> Collected:
    if not settings.registry.is_dir():
        return Collected()
    try:
        world = repo.read()
        return collect(
            Storage(settings.registry), world.released_digests(), is_unread=world.holds_unread, dry_run=dry_run
        )
    except OSError as error:
        raise StorageError(f"cannot collect in {settings.registry}: {error.strerror}") from error


def check_registry(settings: Settings) -> Checked:
    """Read every byte of the embedded registry; it may be serving.

    Raises:
        NotFoundError: the folder was not initialized.
        StorageError: the disk refused.

    """
    _check_initialized(settings)
    if not settings.registry.is_dir():
        return Checked()
    try:
        return check(Storage(settings.registry))
    except OSError as error:
        raise StorageError(f"cannot read {settings.registry}: {error.strerror}") from error


def _parts(settings: Settings) -> Parts:
    files = {path.name: path for path in (settings.state_key, settings.master_key, settings.file)}
    optional = frozenset({settings.file.name})
    return Parts(files, settings.release_repo, settings.database_file, settings.registry, optional)


def seed_templates(channels: Path | None = None) -> Mapping[str, str]:
    """Return the files of a new release repo, by path: from the package, or from a checkout beside it."""
    packaged = resources.files("ums") / "seed"
    root = Path(str(packaged)) if packaged.is_dir() else Path(__file__).parent.parent
    found: dict[str, str] = {}
    schemas = Path(str(resources.files("ums") / "schemas"))
    for folder, prefix in (
        (root / "release-repo", ""),
        (channels or root / "channels", "channels/"),
        (schemas, "schemas/"),
    ):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".yaml", ".json", ".md"}:
                found[prefix + path.relative_to(folder).as_posix()] = path.read_text(encoding="utf-8")
    return found


def _write_secret(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
