"""What UMS needs from outside, as Protocols. Adapters fit by shape; ``bootstrap.py`` puts them in place.

Every method raises only errors of ``ums.domain.errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ums.domain.artifact import Artifact, Blob
from ums.domain.bundle import BundleSpec, ComponentSpec
from ums.domain.digest import Digest
from ums.domain.names import PDPName
from ums.domain.oci import Descriptor, Repository
from ums.domain.packaging import PackagedComponent
from ums.domain.release import ReleaseName
from ums.domain.stored_versions import Definition, StoredObject
from ums.domain.trust import Signatory
from ums.domain.version import VersionRange

if TYPE_CHECKING:
    # The service's alone: whoever publishes or verifies starts without the fleet's model.
    from ums.domain.answers import Kept
    from ums.domain.auditing import Commit
    from ums.domain.authority import Trespass
    from ums.domain.bootstrapping import Credentials
    from ums.domain.feed import Fields
    from ums.domain.fleet import Cluster, Facts, HealthChange, Report
    from ums.domain.git_hosts import Exchange
    from ums.domain.identity import Token
    from ums.domain.measuring import Measurement
    from ums.domain.security_log import Anchor, Entry, SecurityEvent, SecurityKind
    from ums.domain.sessions import PendingLogin, Person, Session
    from ums.domain.views import View
    from ums.domain.webhooks import Delivery, Webhook
    from ums.domain.world import Base, Decision, LogEntry, World

Progress = Callable[[int], None]
"""Called with the number of bytes just sent."""


class Clock(Protocol):
    """The time of day."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        ...


class WatchedClock(Clock, Protocol):
    """A clock that notices when it is set."""

    def problem(self) -> str:
        """Return how it jumped since the process began; empty if it did not."""
        ...


class ClockWitness(Protocol):
    """Remembers when the service ran last, for the next start. Raises ``UnavailableError`` and ``StorageError``."""

    def seen(self) -> datetime | None:
        """Return the latest time that was noted; ``None`` if none was."""
        ...

    def note(self, now: datetime) -> None:
        """Note that the service runs; an earlier time than the one noted changes nothing."""
        ...

    def reset(self, now: datetime) -> None:
        """Note a time, also if it is earlier."""
        ...


class Registry(Protocol):
    """An OCI registry (distribution-spec 1.1). Bytes read from it are checked before they are returned.

    All methods raise ``UnavailableError`` when the registry does not answer or answers 5xx after bounded
    retries, ``UnauthenticatedError``/``ForbiddenError`` on 401/403, ``IntegrityError`` on wrong bytes.
    """

    def find(self, repository: Repository, reference: str) -> Descriptor | None:
        """Return the descriptor of the manifest at a tag or digest, or ``None`` when absent."""
        ...

    def get_manifest(self, repository: Repository, reference: str) -> tuple[Descriptor, bytes]:
        """Return a manifest by tag or digest, checked against the digest.

        Raises:
            NotFoundError: it is not there.

        """
        ...

    def has_blob(self, repository: Repository, digest: Digest) -> bool:
        """Return whether a blob is there."""
        ...

    def open_blob(self, repository: Repository, descriptor: Descriptor) -> BinaryIO:
        """Return a local, checked copy of a blob, positioned at its start; the caller closes it.

        Raises:
            NotFoundError: it is not there.
            IntegrityError: digest or size differ from the descriptor.

        """
        ...

    def push_blob(self, repository: Repository, blob: Blob, *, progress: Progress | None = None) -> None:
        """Store a blob unless it is there already."""
        ...

    def push_manifest(self, repository: Repository, artifact: Artifact, *, tag: str | None = None) -> None:
        """Store an artifact's manifest (its blobs must be there), and tag it.

        If it has a ``subject`` and the registry has no referrers API, the fallback tag is updated too.
        """
        ...

    def referrers(self, repository: Repository, subject: Digest, artifact_type: str) -> Sequence[Descriptor]:
        """Return the manifests that refer to ``subject``, by referrers API or fallback tag."""
        ...


class Signer(Protocol):
    """Signs digests as sigstore bundles."""

    def sign(self, digest: Digest) -> bytes:
        """Return a sigstore bundle v0.3 (JSON) over an in-toto statement about ``digest``.

        Raises:
            UnavailableError: an outside signing service did not answer.

        """
        ...

    def signatory(self) -> Signatory:
        """Return whose signature this makes, in the form that a verifier takes."""
        ...


class Verifier(Protocol):
    """Checks sigstore bundles."""

    def verify(self, signature: bytes, digest: Digest, signatories: Sequence[Signatory]) -> str | None:
        """Return the name of the signatory that made ``signature`` over ``digest``, or ``None``.

        ``None`` means the signature was looked at and is by none of them; it never means *could not look*.

        Raises:
            UnavailableError: the check needs something that does not answer.

        """
        ...


class StateSigner(Protocol):
    """Signs Git commits (SSHSIG, namespace ``git``)."""

    def sign(self, payload: bytes) -> str:
        """Return the armored signature of ``payload``."""
        ...

    @property
    def public_key(self) -> str:
        """Return the key in OpenSSH's one-line form."""
        ...


class Packager(Protocol):
    """Reads a bundle's folder and makes reproducible artifacts of its components."""

    def read(self, folder: Path) -> BundleSpec:
        """Return the checked ``bundle.yaml`` of a folder.

        Raises:
            SpecError: names file, line, field and what was expected.

        """
        ...

    def package(
        self, folder: Path, bundle: str, component: ComponentSpec, *, kubernetes: VersionRange | None = None
    ) -> PackagedComponent:
        """Return the artifact of one component, checked for the versions of Kubernetes that the release requires.

        Raises:
            InvalidInputError: a file is missing, leads outside the folder, or is a link.

        """
        ...


class ReleaseRepo(Protocol):
    """The Git release repo: the only truth about what should be."""

    def read(self) -> World:
        """Return the state at the heads of ``main`` and ``delivery``, without observations."""
        ...

    def commit(self, decision: Decision, *, base: Base) -> Base:
        """Record a decision as signed commits, both branches or neither.

        Raises:
            ConflictError: a branch moved since ``base`` was read; nothing was written.
            StorageError: the disk refused; nothing was written.

        """
        ...

    def log(self, *, limit: int, path: str = "", head: str = "", skip: int = 0) -> Sequence[LogEntry]:
        """Return the newest decisions on ``main``, newest first.

        Args:
            limit: how many.
            path: only what changed this file or folder.
            head: only what led to this commit; empty for all.
            skip: how many of them to leave out first.

        Raises:
            NotFoundError: no such commit leads to the head.

        """
        ...

    def since(self, commit_id: str, *, limit: int) -> Sequence[LogEntry]:
        """Return the first commits of ``main`` after one, oldest first; what people merged counts as one.

        Args:
            commit_id: empty for those from the very first on.
            limit: how many.

        Raises:
            NotFoundError: no such commit leads to the head.

        """
        ...

    def documents(self, before: str, after: str) -> Mapping[str, tuple[Fields | None, Fields | None]]:
        """Return the YAML mappings that differ between two commits of ``main``, by path, before and after.

        ``None`` where there is none; a file that cannot be read is an empty mapping.
        """
        ...

    def reclaim(self, *, at: datetime) -> str:
        """Put what was offered on top of a head of ``delivery`` that no state key signed.

        Return that head, or the empty string where there is nothing to put right.

        Raises:
            ConflictError: the branch moved meanwhile.

        """
        ...

    def restore_main(self, *, at: datetime) -> Trespass | None:
        """Put back what UMS wrote on ``main``, on top of a head that changes it and that no state key signed.

        Return what had been changed, or ``None`` where there is nothing to put right.

        Raises:
            ConflictError: the branch moved meanwhile.

        """
        ...

    def maintain(self) -> None:
        """Store what there is compactly, so that reading stays fast; nothing is lost, others go on meanwhile."""
        ...

    def serial_at(self, commit_id: str, pdp: PDPName) -> int | None:
        """Return the serial of a data plane's state at a commit of ``delivery``, or ``None``."""
        ...

    def foreign(self) -> Sequence[str]:
        """Return what is in the repository's folder, would mislead Git and is not UMS's, a sentence each.

        Raises:
            UnavailableError: the folder cannot be read.

        """
        ...


class History(Protocol):
    """The commits of a release repo, read from any clone of it.

    All methods raise ``NotFoundError`` where there is none, and ``UnavailableError`` where Git fails.
    """

    def check_objects(self) -> None:
        """Check that every object is what its name says, that none is missing, and that nothing stands in for one.

        Raises:
            IntegrityError: one is not, or is not there; or the repository says that others count in its place.
            InvalidInputError: the clone is shallow.

        """
        ...

    def ignored(self) -> Sequence[str]:
        """Return what in the clone would run commands, or convert content, if Git obeyed it: a sentence each."""
        ...

    def state_keys(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys that ``trust.yaml`` names at each commit of ``main``, in OpenSSH's form."""
        ...

    def commits(self, branch: str, keys: Sequence[str]) -> Sequence[Commit]:
        """Return all commits of a branch, each after its parents, with which of the keys signed it."""
        ...

    def changed(self, before: str, after: str) -> Sequence[str]:
        """Return the paths that differ between two commits; ``before`` may be empty: all of them."""
        ...

    def serials(self, before: str, after: str) -> Sequence[tuple[PDPName, int | None, int | None]]:
        """Return each data plane whose state a commit of ``delivery`` wrote, with its serial before and after."""
        ...


class GitHost(Protocol):
    """A Git host that the release repo is exchanged with."""

    @property
    def url(self) -> str:
        """Return where it is, without a login."""
        ...

    def exchange(self, *, at: datetime) -> Exchange:
        """Take in what people merged there, if it may be, and push what was recorded here.

        Raises:
            ConflictError: one of both moved meanwhile; the next exchange takes that in.
            UnavailableError: the host does not answer, or refuses.

        """
        ...


class Views(Protocol):
    """For each data plane a Git commit that holds its folder alone, made of what was recorded on ``delivery``.

    All methods raise ``UnavailableError`` when the release repo does not answer.
    """

    def head(self, pdp: PDPName) -> View | None:
        """Return the view of what a data plane was offered last, or ``None`` if that is nothing."""
        ...

    def pack(self, pdp: PDPName, commit_id: str) -> bytes | None:
        """Return all objects of a data plane's view as a Git pack; ``None`` if it is neither its newest nor recent."""
        ...

    def serial_at(self, commit_id: str, pdp: PDPName) -> int | None:
        """Return the serial of a data plane's view, or ``None`` if it is none that it was offered lately."""
        ...


class Store(Protocol):
    """What was observed, and the tokens of people and machines. Lost, it can be done without.

    All methods raise ``UnavailableError`` when the database does not answer in time, and ``StorageError`` when it
    refuses.
    """

    def reports(self) -> Mapping[PDPName, Report]:
        """Return the newest report of every data plane heard of: the same object as long as there is no news."""
        ...

    def report(self, pdp: PDPName) -> Report | None:
        """Return the newest report of one data plane, or ``None`` if it was never heard of."""
        ...

    def record(self, pdp: PDPName, report: Report) -> bool:
        """Keep a report if it is newer than what is known, and its health if that changed; return whether it was."""
        ...

    def update(self, pdp: PDPName, change: Callable[[Report | None], Report | None]) -> bool:
        """Replace the newest report by what ``change`` makes of it, whatever that is; return whether it made anything.

        Nobody comes in between. Its health is kept if that changed. ``change`` may be asked twice.
        """
        ...

    def facts(self) -> Mapping[PDPName, Facts]:
        """Return the facts of every cluster that reported: the same object as long as none changed."""
        ...

    def cluster(self, pdp: PDPName) -> Cluster | None:
        """Return what was reported of one data plane's cluster last, or ``None`` if nothing was."""
        ...

    def record_cluster(self, pdp: PDPName, cluster: Cluster) -> bool:
        """Keep what was reported of a cluster if its ``at`` is later than what is known; return whether it was."""
        ...

    def forget(self, pdp: PDPName) -> None:
        """Drop what a data plane reported of itself and its cluster; its history stays until it is pruned."""
        ...

    def list_health_changes(self, pdp: PDPName, *, limit: int) -> Sequence[HealthChange]:
        """Return how the health of a data plane changed, newest first."""
        ...

    def prune_health_changes(self, *, before: datetime) -> int:
        """Drop changes that are older, but for the newest of each data plane that is known; return how many."""
        ...

    def add_token(self, token_hash: str, token: Token) -> None:
        """Keep the hash of a token and who it stands for."""
        ...

    def tokens(self) -> Sequence[Token]:
        """Return all tokens, the newest first."""
        ...

    def revoke_token(self, token_id: str) -> bool:
        """Forget the token of an id; return whether there was one."""
        ...

    def claim_key(
        self, key: str, claim: Kept, *, at: datetime, done_before: datetime, begun_before: datetime
    ) -> Kept | None:
        """Keep a claim if its key is free, and return what holds it otherwise; of several callers one is first.

        What is older is dropped: answers from before ``done_before``, claims without one from before ``begun_before``.
        """
        ...

    def keep_answer(self, key: str, answer: Kept | None) -> None:
        """Keep the answer to a claim, or drop the claim."""
        ...

    def find_token(self, token_hash: str, *, now: datetime) -> Token | None:
        """Return what is known of a token, expired or not; of one that is valid it is noted that it is used.

        ``last_used`` is as it was before.
        """
        ...


class SecurityLog(Protocol):
    """The chain of security events: rows are added at its end, and never changed or taken away.

    All methods raise ``UnavailableError`` when the database does not answer in time, and ``StorageError`` when it
    refuses.
    """

    def append(self, event: SecurityEvent) -> Entry:
        """Add an event behind the newest entry, whoever else adds one meanwhile; it outlives a loss of power."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Make one of all that this thread writes to the same database inside: all of it is kept, or nothing."""
        ...

    def read(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the first entries behind one, oldest first; 0 is before all."""
        ...

    def newest(
        self,
        *,
        limit: int,
        before: int | None = None,
        kind: SecurityKind | None = None,
        subject: str = "",
        since: str = "",
    ) -> Sequence[Entry]:
        """Return the newest entries, newest first.

        Args:
            limit: how many.
            before: only those before this one.
            kind: only those of it.
            subject: only those of it.
            since: only those from this time on, in the form of entries.

        """
        ...

    def head(self) -> Anchor | None:
        """Return which entry is the newest, or ``None`` if there is none."""
        ...


class SessionStore(Protocol):
    """Who is logged in, and who is about to be, by hashes. Lost, people log in again.

    All methods raise as those of ``Store`` do.
    """

    def add_login(self, login_hash: str, login: PendingLogin) -> None:
        """Keep that somebody was sent to the issuer."""
        ...

    def take_login(self, login_hash: str) -> PendingLogin | None:
        """Return a login and forget it, so that it counts once; ``None`` where there is none."""
        ...

    def add_session(self, session_hash: str, session: Session) -> None:
        """Keep a session."""
        ...

    def find_session(self, session_hash: str) -> Session | None:
        """Return a session, over or not, or ``None``."""
        ...

    def touch_session(self, session_hash: str, *, seen: datetime) -> None:
        """Keep when a session was used last."""
        ...

    def end_session(self, session_hash: str) -> bool:
        """Forget a session; return whether there was one."""
        ...

    def prune_sessions(self, *, now: datetime) -> int:
        """Drop the sessions that are over and the logins that nobody came back from; return how many."""
        ...


class IdentityProvider(Protocol):
    """The OpenID Connect issuer that people log in at."""

    def authorization_url(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Return where to send somebody who is to log in.

        Raises:
            UnavailableError: the issuer does not answer, or not as an issuer does.

        """
        ...

    def person(self, *, code: str, redirect_uri: str, nonce: str, verifier: str, now: datetime) -> Person:
        """Return who came back with a code.

        Raises:
            UnauthenticatedError: the issuer does not take the code, or its ID token does not hold.
            ForbiddenError: it does not say of this person what the settings ask for.
            UnavailableError: it does not answer, or not as an issuer does.

        """
        ...


class Registrar(Protocol):
    """The service, as the publisher sees it."""

    def register(self, name: ReleaseName, digest: Digest, *, override_floors: str = "") -> None:
        """Tell the service of a release whose manifest has this digest; telling it twice is fine.

        Args:
            name: the release.
            digest: of its manifest.
            override_floors: why it may be below floors that earlier releases declare.

        Raises:
            RefusedError: it is below a floor.
            UnverifiedError: the service does not trust the signatures.
            ConflictError: it knows the version with another digest.

        """
        ...


class WebhookQueue(Protocol):
    """Webhooks, and what is on its way to their receivers. Lost, webhooks must be added again."""

    def add(self, webhook: Webhook, *, told: str) -> bool:
        """Keep a webhook that is told what comes after a commit; return whether its name was free."""
        ...

    def remove(self, name: str) -> bool:
        """Forget a webhook and what is on its way to it; return whether there was one."""
        ...

    def webhooks(self) -> Sequence[tuple[Webhook, str]]:
        """Return all webhooks, each with the commit up to which it was told."""
        ...

    def enqueue(self, name: str, deliveries: Sequence[Delivery], *, was: str, told: str) -> bool:
        """Queue what a webhook is told of the commits from one to another; return whether nobody else did."""
        ...

    def noticed(self) -> frozenset[str]:
        """Return the keys of what is so without anybody's decision, and was told."""
        ...

    def notice(self, new: Collection[str], over: Collection[str], deliveries: Sequence[Delivery]) -> bool:
        """Queue what is told of it and remember that, both or neither; return whether nobody else did."""
        ...

    def claim(self, now: datetime, *, limit: int, webhook: str | None = None) -> Sequence[Delivery]:
        """Take what is due, to one webhook or to all, so that no other process does for a while."""
        ...

    def settle(self, delivery: Delivery) -> None:
        """Keep what became of a delivery."""
        ...

    def deliveries(self, name: str, *, limit: int) -> Sequence[Delivery]:
        """Return the newest deliveries to a webhook, newest first."""
        ...

    def replay(self, delivery_id: int, *, now: datetime) -> bool:
        """Make a delivery due again, whatever became of it; return whether there is one."""
        ...

    def prune(self, *, before: datetime) -> int:
        """Drop what is through and older; return how many."""
        ...


class Sender(Protocol):
    """Posts to webhooks' receivers."""

    def send(self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> int:
        """Post ``body`` and return the status of the answer, if the receiver took it.

        Raises:
            ForbiddenError: the receiver is at an address that is not public, and may not be.
            UnavailableError: it does not answer, or says no.

        """
        ...


class CredentialSource(Protocol):
    """Credentials of data planes, derived, so that losing the database loses none."""

    def credentials(self, pdp: PDPName, *, generation: int) -> Credentials:
        """Return the credentials of one generation."""
        ...


class Meter(Protocol):
    """Counts and times what this process does. No method raises, or keeps what it times from raising."""

    def time_commit(self) -> AbstractContextManager[None]:
        """Time a commit to the release repo, and count how it ended."""
        ...

    def time_job(self, name: str) -> AbstractContextManager[None]:
        """Time a run of a job, and keep when it last succeeded."""
        ...

    def count_event(self, result: str) -> None:
        """Count an event of a data plane."""
        ...

    def count_request(self, surface: str, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered; ``surface`` is api, view, git or registry."""
        ...

    def tell_leader(self, *, leads: bool) -> None:
        """Keep whether this process runs the jobs."""
        ...

    def render(self, fleet: Sequence[Measurement] | None) -> bytes:
        """Return everything in the text format of Prometheus; ``None`` is a fleet that could not be measured."""
        ...


class Leadership(Protocol):
    """Says which process does what only one needs to do. Of those that share a database, one leads at a time.

    For a moment two may think that they do: what a leader does has to bear that.
    """

    def held(self) -> bool:
        """Return whether this process leads, and try to where nobody does; ask again every second.

        Raises:
            UnavailableError, StorageError: it cannot be known, so this process does not lead.

        """
        ...

    def release(self) -> None:
        """Let another lead. Whoever dies does so, too."""
        ...


class ClusterReader(Protocol):
    """What runs in a Kubernetes cluster; nothing is ever written there.

    All methods raise ``UnavailableError`` when the cluster does not answer as one, and ``UnauthenticatedError`` or
    ``ForbiddenError`` when it does not let us look.
    """

    def kubernetes_version(self) -> str:
        """Return what the API server calls its version."""
        ...

    def flux_versions(self, namespace: str) -> Sequence[str]:
        """Return the versions on the labels of Flux's Deployments; none where there are none."""
        ...

    def images(self) -> Iterator[str]:
        """Yield the image of every container that runs, by digest where that is known."""
        ...


class CustomResources(Protocol):
    """Custom resource definitions of a Kubernetes cluster, and the objects that it stores of them.

    All methods raise ``UnavailableError`` when the cluster does not answer as one, and ``UnauthenticatedError`` or
    ``ForbiddenError`` when it does not let us look or write.
    """

    def definitions(self) -> Iterator[Definition]:
        """Yield every definition."""
        ...

    def definition(self, name: str) -> Definition:
        """Return a definition as it is now; ``NotFoundError`` if it is gone."""
        ...

    def objects(self, definition: Definition) -> Iterator[StoredObject]:
        """Yield every object of a definition."""
        ...

    def rewrite(self, definition: Definition, stored: StoredObject) -> None:
        """Have an object written once more, unchanged, in the version that is stored now.

        Raises:
            NotFoundError: it is gone.
            ConflictError: somebody else writes it.
            InvalidInputError: the cluster refuses it as it is.

        """
        ...

    def trim(self, definition: Definition) -> None:
        """Record that objects are stored in ``definition.storage`` alone.

        Raises:
            ConflictError: the definition is another one by now.
            NotFoundError: it is gone.

        """
        ...


class Disk(Protocol):
    """The disk that the data folder is on."""

    def free_bytes(self) -> int:
        """Return how much may still be written.

        Raises:
            StorageError: the folder, or a file that must be in it, is not there.

        """
        ...
