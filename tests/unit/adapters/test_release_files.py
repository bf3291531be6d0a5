"""The files of the release repo: what they mean, what is wrong with them, and that nothing is lost on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from tests.policies import accepted
from tests.state_keys import FIRST, SECOND
from tests.unit.domain.worlds import NOW, PROD, given, make_release
from ums.adapters._release_files import MODELS, File, ReleaseFiles, desired_from_state, to_bytes
from ums.adapters._yaml import StrictModel, dump, load, validate
from ums.domain.channels import Channel, Promoted, Track
from ums.domain.digest import Digest
from ums.domain.errors import SpecError
from ums.domain.fleet import BundleState, DataPlane, Desired, Hold, Management, Pin
from ums.domain.fleet import Registration as DomainRegistration
from ums.domain.names import PDPName
from ums.domain.rendering import render_state
from ums.domain.trust import KeylessSigner, KeySigner
from ums.domain.version import Version, VersionRange
from ums.domain.world import RENDERER, Base, Document, Objects, Raw, World

ROOT = Path(__file__).parents[3]
UMS = b"""\
schema: 1
url: https://ums.example.com
registry: registry.example.com/ums
"""
PEM = (
    "-----BEGIN PUBLIC KEY-----\\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmweyCiK7JO22uDhY22pE/ydJ9Ho0\\n"
    "r70+Qr0S/JNCOkCWoFlSGu/zgbieR+1YhWfmHZ1mn+5bnfbV4HRZWJWLsA==\\n"
    "-----END PUBLIC KEY-----"
)
"""A release key, as in a YAML string of one line."""
TRUST = b"""\
schema: 1
signers:
  ci: {key: "%s"}
  people: {identity: olga@example.com, issuer: "https://accounts.example.com"}
bundles:
  "*": {signers: [ci]}
  platform: {signers: [ci, people], threshold: 2}
stateKeys: [%s, %s]
""" % (PEM.encode(), FIRST.encode(), SECOND.encode())
BASICS = {"ums.yaml": UMS, "trust.yaml": TRUST}
REGISTRATION_PATH = "fleet/acme/prod/registration.yaml"
REGISTRATION = b"channel: stable\nbundles: [platform]\n"
RELEASE = make_release("1.2.0", {"cilium": "1.16.0"})
RELEASE_PATH = "catalog/platform/1.2.0/release.json"
STATUS_PATH = "catalog/platform/1.2.0/status.yaml"
STATUS = f"""\
schema: 1
digest: {Digest.of(b"x")}
signedBy: [ci, people]
registeredAt: 2026-11-23T12:00:00Z
registeredBy: ci
renderer: {RENDERER}
""".encode()
DESIRED = Desired(
    serial=1_795_000_000,
    channel="stable",
    issued=NOW,
    expires=NOW + timedelta(days=7),
    bundles={"platform": BundleState(Version("1.2.0"), {"cilium": Version("1.1.0")}, ("old",))},
)
STATE = dump(render_state(PROD, DESIRED))


def files(contents: Mapping[str, bytes]) -> dict[str, File]:
    """Return files with their ids."""
    return {path: (str(Digest.of(content)), content) for path, content in contents.items()}


def read(main: Mapping[str, bytes], delivery: Mapping[str, bytes] | None = None) -> World:
    """Return the world of files, beside the two that must be there."""
    return ReleaseFiles().read(Base("m", "d"), files({**BASICS, **main}), files(delivery or {}))


def test_settings_have_defaults() -> None:
    """What most leave out is what most want."""
    settings = read({}).settings
    assert (settings.url, str(settings.registry)) == ("https://ums.example.com", "registry.example.com/ums")
    assert settings.plain_http is False
    assert settings.registry_login is False
    assert settings.interval == timedelta(minutes=1)
    assert settings.root_timeout == timedelta(minutes=5)
    assert settings.validity == timedelta(days=7)


def test_settings_are_read() -> None:
    """Every field counts."""
    text = UMS + b"plainHttp: true\nregistryLogin: true\n"
    text += b"flux: {interval: 5s, rootTimeout: PT2M}\nstate: {validity: 14d}\n"
    settings = read({"ums.yaml": text}).settings
    assert settings.plain_http
    assert settings.registry_login
    assert (settings.interval, settings.root_timeout) == (timedelta(seconds=5), timedelta(minutes=2))
    assert settings.validity == timedelta(days=14)


def test_trust_is_read() -> None:
    """Keys and identities, rules with and without a threshold, and every state key."""
    trust = read({}).trust
    assert isinstance(trust.signers["ci"], KeySigner)
    assert trust.signers["people"] == KeylessSigner("people", "olga@example.com", "https://accounts.example.com")
    assert trust.rule_for("platform").threshold == 2
    assert trust.rule_for("other").signers == ("ci",)
    assert trust.state_keys == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("path", "old", "new", "line", "field"),
    [
        ("ums.yaml", b"url:", b"ulr:", 2, "ulr"),
        ("ums.yaml", b"https://ums.example.com", b"ums.example.com", 2, "url"),
        ("ums.yaml", b"https://ums.example.com", b"https://ums.example.com/path", 2, "url"),
        ("ums.yaml", b"registry.example.com/ums", b"'not a registry'", 3, "registry"),
        ("ums.yaml", b"schema: 1", b"schema: 2", 1, "schema"),
        ("ums.yaml", b"schema: 1", b"flux: {interval: soon}", 1, "flux.interval"),
        ("ums.yaml", b"schema: 1", b"state: {validity: 7}", 1, "state.validity"),
        ("trust.yaml", b"{signers: [ci]}", b"{signers: []}", 6, "bundles.*.signers"),
        ("trust.yaml", b"{signers: [ci]}", b"{signers: [ci], threshold: 0}", 6, "bundles.*.threshold"),
        ("trust.yaml", b"BEGIN PUBLIC", b"BEGIN PRIVATE", 3, "signers.ci.key"),
        ("trust.yaml", b"MFkwEwYHKoZI", b"", 3, "signers.ci"),
        ("trust.yaml", b"{identity: olga@example.com, ", b"{", 4, "signers.people"),
        ("trust.yaml", b"{identity", b"{key: '-----BEGIN PUBLIC KEY-----', identity", 4, "signers.people"),
        ("trust.yaml", b"identity: olga@example.com", b"identity: '.*@example.com'", 4, "signers.people"),
        ("trust.yaml", b"identity: olga@example.com", b"identityPattern: '*@example.com'", 4, "signers.people"),
        ("trust.yaml", b"{identity", b"{identityPattern: https://h/o/r/w@refs/tags/v*, identity", 4, "signers.people"),
        ("trust.yaml", SECOND.encode(), b"ssh-rsa BBBB", 8, "stateKeys[1]"),
    ],
)
def test_without_settings_and_trust_nothing_is_decided(
    path: str, old: bytes, new: bytes, line: int, field: str
) -> None:
    """A wrong ums.yaml or trust.yaml is said with file, line and field."""
    content = BASICS[path]
    assert content.count(old) == 1
    with pytest.raises(SpecError) as caught:
        read({path: content.replace(old, new)})
    assert (caught.value.file, caught.value.line, caught.value.field) == (path, line, field)


@pytest.mark.parametrize("path", sorted(BASICS))
def test_a_missing_file_is_named(path: str) -> None:
    """Neither is guessed."""
    with pytest.raises(SpecError, match=re.escape(path)):
        ReleaseFiles().read(Base(), files({other: BASICS[other] for other in BASICS if other != path}), {})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"*": {signers: [ci]}', b'"*": {signers: [cy]}', "not listed: cy"),
        (b"threshold: 2", b"threshold: 3", "demands 3 signatures of 2"),
        (b"[ci, people], threshold: 2", b"[ci, ci], threshold: 2", "demands 2 signatures of 1"),
    ],
)
def test_a_rule_that_nobody_can_meet_is_refused(old: bytes, new: bytes, message: str) -> None:
    """Found when it is written, not when the release is urgent."""
    with pytest.raises(SpecError, match=message):
        read({"trust.yaml": TRUST.replace(old, new)})


def test_channels_come_after_their_feeders() -> None:
    """Those in a circle come last, instead of never."""
    names = {"a": "b", "b": "c", "c": None, "round": "about", "about": "round", "lost": "nowhere"}
    main = {
        f"channels/{name}/policy.yaml": f"feeder: {feeder}\n".encode() if feeder else b"description: d\n"
        for name, feeder in names.items()
    }
    world = read(accepted(main))
    assert list(world.channels) == ["c", "lost", "b", "a", "about", "round"]
    assert world.channels["a"].policy.feeder == "b"
    assert world.channels["c"].policy.description == "d"
    assert world.problems == ()


def test_what_a_channel_holds_comes_back() -> None:
    """State that UMS wrote is what UMS reads."""
    steps = tuple(Promoted(Version(version), given(NOW)) for version in ("1.1.0", "1.2.0"))
    holds = (Hold("platform", None, Version("1.1.0"), given()),)
    channel = Channel("stable", tracks={"platform": Track(steps)}, holds=holds)
    main = {
        "channels/stable/policy.yaml": b"feeder: edge\ndescription: d\n",
        "channels/stable/state.yaml": dump(channel.state_document()),
    }
    found = read(accepted(main)).channels["stable"]
    assert replace(found, policy=channel.policy) == channel
    assert found.policy.feeder == "edge"


def test_what_a_data_plane_has_comes_back() -> None:
    """Registration, pins, holds and offer: three files, one data plane."""
    registration = DomainRegistration(PROD, "stable", ("platform", "flux"), {"eu": "yes"}, Management.CUSTOMER, 3)
    pins = (Pin("platform", "cilium", VersionRange("~1.16"), given(NOW)),)
    holds = (Hold("platform", None, Version("1.1.0"), given()),)
    plane = DataPlane(registration, pins, holds, desired=DESIRED)
    main = {
        REGISTRATION_PATH: dump(registration.to_dict()),
        "fleet/acme/prod/decisions.yaml": dump(plane.decisions_document()),
    }
    world = read(main, {"pdps/acme/prod/state.yaml": STATE})
    assert world.planes == {PROD: plane}
    assert world.problems == ()


versions = st.builds("{}.{}.{}".format, *[st.integers(0, 99)] * 3).map(Version)
names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
states = st.builds(
    BundleState,
    release=versions,
    components=st.dictionaries(names, versions, max_size=3),
    removing=st.lists(names, max_size=2).map(tuple),
)


@for_all(
    serial=st.integers(1, 2**40),
    channel=names,
    minutes=st.integers(1, 10**6),
    bundles=st.dictionaries(names, states, max_size=3),
)
def test_every_offer_survives_its_config_map(
    serial: int, channel: str, minutes: int, bundles: dict[str, BundleState]
) -> None:
    """What a cluster was offered is known exactly, by reading it where the cluster does."""
    desired = Desired(serial, channel, NOW, NOW + timedelta(minutes=minutes), bundles)
    assert desired_from_state(load(dump(render_state(PROD, desired)), "state.yaml")) == desired


def test_values_are_read_as_helm_reads_them() -> None:
    """By bundle and component; text and numbers are what they are to the readers in Go."""
    text = REGISTRATION + b"sealed: false\n"
    text += b"values:\n  platform:\n    cilium: {size: 1e3, mode: 'on', gone: null, list: [yes, 0x10]}\n"
    registration = read({REGISTRATION_PATH: text}).plane(PROD).registration
    assert registration.values == {
        "platform": {"cilium": {"size": 1000.0, "mode": "on", "gone": None, "list": [True, 16]}}
    }
    assert not registration.sealed
    assert read({REGISTRATION_PATH: REGISTRATION}).plane(PROD).registration.sealed


def test_a_release_is_read_with_what_was_decided_about_it() -> None:
    """Digest, signers and registration; an empty ``yanked`` is none."""
    main = {RELEASE_PATH: RELEASE.to_bytes(), STATUS_PATH: STATUS}
    entry = read(main).entry("platform", Version("1.2.0"))
    assert (entry.release, entry.digest, entry.signed_by) == (RELEASE, Digest.of(b"x"), ("ci", "people"))
    assert (entry.registered_at, entry.registered_by, entry.yanked) == (NOW, "ci", "")
    yanked = read({**main, STATUS_PATH: STATUS + b"yanked: it burns\nfuture: field\n"})
    assert yanked.entry("platform", Version("1.2.0")).yanked == "it burns"


@pytest.mark.parametrize(
    ("path", "content", "line", "field"),
    [
        ("channels/stable/policy.yaml", b"# c\nfeder: edge\n", 2, "feder"),
        ("channels/stable/policy.yaml", b"feeder: Edge\n", 1, "feeder"),
        ("channels/stable/policy.yaml", b"feeder: a\nfeeder: b\n", 2, "feeder"),
        ("channels/stable/policy.yaml", b"", 1, ""),
        ("channels/stable/policy.yaml", b"feeder: [\n", 2, ""),
        (REGISTRATION_PATH, REGISTRATION + b"chanel: x\n", 3, "chanel"),
        (REGISTRATION_PATH, b"channel: stable\n", 1, "bundles"),
        (REGISTRATION_PATH, b"channel: stable\nbundles: []\n", 2, "bundles"),
        (REGISTRATION_PATH, REGISTRATION + b"management: nobody\n", 3, "management"),
        (REGISTRATION_PATH, REGISTRATION + b"credentialGeneration: 0\n", 3, "credentialGeneration"),
        (REGISTRATION_PATH, REGISTRATION + b"labels: {a: 1}\n", 3, "labels.a"),
        (REGISTRATION_PATH, REGISTRATION + b"values: {platform: {cilium: 1}}\n", 3, "values.platform.cilium"),
        (REGISTRATION_PATH, REGISTRATION + b"values: {platform: {cilium: {1: a}}}\n", 3, "values.platform.cilium[1]"),
        (REGISTRATION_PATH, REGISTRATION + b"values: {platform: {cilium: {a: {1: a}}}}\n", 3, "values"),
        (REGISTRATION_PATH, REGISTRATION + b"values: {platform: {cilium: {a: .nan}}}\n", 3, "values"),
        (REGISTRATION_PATH, REGISTRATION + b"values: {platform: {a_b: {}}}\n", 3, "values.platform.a_b"),
        (REGISTRATION_PATH, REGISTRATION + b"values: {platform: {cilium: {a: " + b"x" * 65536 + b"}}}\n", 3, "values"),
        (REGISTRATION_PATH, REGISTRATION + b"values: {platform: {cilium: {a: 1}}}\n", 1, ""),
    ],
)
def test_what_people_wrote_wrong_is_a_problem(path: str, content: bytes, line: int, field: str) -> None:
    """What the file describes is left out, the rest is there, and file, line and field are named."""
    world = read({**accepted({"channels/edge/policy.yaml": b"description: d\n"}), path: content})
    assert (list(world.channels), dict(world.planes)) == (["edge"], {})
    (problem,) = world.problems
    assert (problem.file, problem.line, problem.field) == (path, line, field)


def _state_without(key: str) -> bytes:
    document = render_state(PROD, DESIRED)
    del document["data"][key]
    return dump(document)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("channels/edge/state.yaml", b"[]\n"),
        ("channels/edge/state.yaml", b"bundles: {platform: {}}\n"),
        ("channels/edge/state.yaml", b"bundles: {platform: {history: []}}\n"),
        ("channels/edge/state.yaml", b"bundles: {platform: {history: [{release: one}]}}\n"),
        ("channels/edge/state.yaml", b"holds: [{bundle: platform}]\n"),
        ("fleet/acme/prod/decisions.yaml", b"pins: [{bundle: platform, versions: '>>'}]\n"),
        ("fleet/acme/prod/decisions.yaml", b"pins: 7\n"),
        ("fleet/acme/prod/decisions.yaml", b""),
        ("pdps/acme/prod/state.yaml", b"data: {}\n"),
        ("pdps/acme/prod/state.yaml", _state_without("expires")),
        ("pdps/acme/prod/state.yaml", STATE.replace(b"'1795000000'", b"soon")),
        ("pdps/acme/prod/state.yaml", STATE.replace(b"1.2.0", b"newest")),
        (RELEASE_PATH, b"{}"),
        (RELEASE_PATH, b"not JSON"),
        (RELEASE_PATH, make_release("1.3.0", {"cilium": "1.0.0"}).to_bytes()),
        (STATUS_PATH, b"digest: sha256:short\n"),
        (STATUS_PATH, STATUS.replace(b"T12:00:00Z", b"")),
        (STATUS_PATH, STATUS.replace(b"renderer: ", b"renderer: 9")),
        (STATUS_PATH, STATUS.replace(b"renderer: ", b"renderer: !!str ")),
        (STATUS_PATH, STATUS.replace(b"renderer: ", b"another: ")),
    ],
)
def test_what_ums_wrote_and_somebody_broke_is_a_problem(path: str, content: bytes) -> None:
    """It never reads as absent: who is held by a file that cannot be read does not move."""
    good = {
        **accepted({"channels/edge/policy.yaml": b"description: d\n"}),
        REGISTRATION_PATH: REGISTRATION,
        RELEASE_PATH: RELEASE.to_bytes(),
        STATUS_PATH: STATUS,
    }
    whole = read(good, {"pdps/acme/prod/state.yaml": STATE})
    assert whole.problems == ()
    changed = {path: content}
    on_delivery = path.startswith("pdps/")
    world = read(good if on_delivery else {**good, **changed}, changed if on_delivery else {})
    (problem,) = world.problems
    assert problem.file == path
    assert _size(world) == _size(whole) - 1


def _size(world: World) -> int:
    return len(world.channels) + len(world.planes) + len(world.catalog)


def test_a_release_without_its_status_is_left_out() -> None:
    """Who signed it, and whether it was yanked, is not known."""
    assert read({RELEASE_PATH: RELEASE.to_bytes()}).catalog == {}


@pytest.mark.parametrize("path", ["channels/Bad Name/policy.yaml", "fleet/acme/a b/registration.yaml"])
def test_a_folder_that_is_no_name_is_a_problem(path: str) -> None:
    """Names become paths and objects; none is taken from a folder unseen."""
    world = read({path: b"{}\n"})
    assert (dict(world.channels), dict(world.planes)) == ({}, {})
    (problem,) = world.problems
    assert problem.file == path.rpartition("/")[0]
    assert problem.hint


def test_what_did_not_change_is_not_parsed_again() -> None:
    """A new reading gives the same objects for the same blobs, and new ones for new blobs."""
    reader = ReleaseFiles()
    other = "fleet/acme/test/registration.yaml"
    main = {**BASICS, RELEASE_PATH: RELEASE.to_bytes(), STATUS_PATH: STATUS, other: REGISTRATION}
    first = reader.read(Base("1"), files(main), {})
    second = reader.read(Base("2"), files({**main, other: REGISTRATION + b"labels: {a: b}\n"}), {})
    version = Version("1.2.0")
    assert second.base == Base("2")
    assert second.settings is first.settings
    assert second.entry("platform", version).release is first.entry("platform", version).release
    assert second.plane(PDPName("acme", "test")).registration.labels == {"a": "b"}


def test_a_file_that_stays_wrong_stays_a_problem() -> None:
    """What was parsed is kept, and so is what could not be."""
    reader = ReleaseFiles()
    main = files({**BASICS, REGISTRATION_PATH: b"x: 1\n"})
    assert [reader.read(Base(number), main, {}).problems[0].file for number in "12"] == [REGISTRATION_PATH] * 2


_CONTENTS: dict[str, list[bytes]] = {
    "ums.yaml": [UMS, UMS + b"plainHttp: true\n", b"[]\n"],
    "trust.yaml": [TRUST, TRUST.replace(b"BBBB", b"CCCC")],
    "channels/edge/policy.yaml": [b"description: d\n", b"feder: x\n"],
    "channels/edge/policy.in-force.yaml": [b"description: d\n", b"description: e\n", b"feder: x\n"],
    "channels/edge/state.yaml": [b"schema: 1\n", b"[]\n"],
    "channels/stable/policy.yaml": [b"feeder: edge\n", b"{}\n"],
    "channels/Bad Name/policy.yaml": [b"{}\n"],
    RELEASE_PATH: [RELEASE.to_bytes(), make_release("1.3.0", {"cilium": "1.0.0"}).to_bytes()],
    STATUS_PATH: [STATUS, STATUS + b"yanked: it burns\n", b"{}\n"],
    "catalog/platform/1.2.0/notes.md": [b"x"],
    REGISTRATION_PATH: [REGISTRATION, REGISTRATION + b"labels: {a: b}\n", b"x: 1\n"],
    "fleet/acme/prod/decisions.yaml": [b"pins: []\n", b"pins: 7\n"],
    "fleet/acme/test/registration.yaml": [REGISTRATION],
    "fleet/acme/a b/registration.yaml": [REGISTRATION],
    "pdps/acme/prod/state.yaml": [STATE, STATE.replace(b"'1795000000'", b"'1795000001'"), b"data: {}\n"],
}
_SOME_FILES = st.fixed_dictionaries(
    {path: st.sampled_from(_CONTENTS.pop(path)) for path in ("ums.yaml", "trust.yaml")},
    optional={path: st.sampled_from(contents) for path, contents in _CONTENTS.items()},
)


@for_all(st.lists(st.tuples(_SOME_FILES, _SOME_FILES), min_size=2, max_size=5))
def test_one_reading_after_another_is_as_the_first(steps: list[tuple[dict[str, bytes], dict[str, bytes]]]) -> None:
    """Whatever changed in between, problems included; and no world that was given away changes."""
    reader = ReleaseFiles()
    given_away: list[tuple[object, object]] = []
    for number, (main, delivery) in enumerate(steps):
        base = Base(str(number))
        fresh, again = (_outcome(each, base, main, delivery) for each in (ReleaseFiles(), reader))
        given_away.append((fresh, again))
        assert all(one == other for one, other in given_away)


def _outcome(
    reader: ReleaseFiles, base: Base, main: Mapping[str, bytes], delivery: Mapping[str, bytes]
) -> tuple[World, list[str]] | str:
    try:
        world = reader.read(base, files(main), files(delivery))
    except SpecError as error:
        return str(error)
    return replace(world, problems=()), [str(problem) for problem in world.problems]


def test_documents_keep_what_a_newer_version_added() -> None:
    """At the top level, after our own fields, whose value is always ours."""
    before = b"future: [1, 2]\nschema: 1\nholds: [old]\n"
    assert to_bytes(Document({"schema": 1, "holds": []}), before, "f") == b"schema: 1\nholds: []\nfuture:\n- 1\n- 2\n"
    assert to_bytes(Document({"schema": 1}), None, "f") == b"schema: 1\n"
    assert to_bytes(Document({"schema": 1}), b"[]\n", "f") == b"schema: 1\n"


def test_other_content_is_written_as_it_is() -> None:
    """Raw bytes byte for byte; several documents with a line between them."""
    assert to_bytes(Raw(b"\xff\x00"), b"a: 1\n", "f") == b"\xff\x00"
    assert to_bytes(Objects(({"a": 1}, {"b": 2})), b"c: 3\n", "f") == b"a: 1\n---\nb: 2\n"


@pytest.mark.parametrize(("name", "model"), sorted(MODELS.items()))
def test_every_file_people_write_has_its_schema_in_the_package(name: str, model: type[StrictModel]) -> None:
    """The schema an editor shows is the model we check with; it knows no other field."""
    shipped = json.loads((ROOT / "ums" / "schemas" / f"{name}.schema.json").read_text())
    assert set(shipped["properties"]) == set(model.model_json_schema(by_alias=True)["properties"])
    assert shipped["additionalProperties"] is False


@pytest.mark.parametrize("path", sorted(ROOT.glob("channels/*/policy.yaml")), ids=lambda path: path.parent.name)
def test_every_channel_we_ship_is_valid(path: Path) -> None:
    """Its feeder is shipped too, and its first line names the schema."""
    content = path.read_bytes()
    policy = validate(MODELS["policy"], content, path.name).model_dump()
    assert policy["feeder"] is None or (ROOT / "channels" / policy["feeder"] / "policy.yaml").exists()
    assert re.match(rb"# yaml-language-server: \$schema=\S+/policy\.schema\.json\n", content)


def test_helm_values_may_hold_any_text() -> None:
    """Programs read them; elsewhere in the file the same character is refused."""
    text = b'channel: stable\nbundles: [platform]\nsealed: false\nvalues: {platform: {"a": {k\\u2028: "\\u202e"}}}\n'
    text = text.replace(b"k\\u2028", b'"k\\u2028"')
    files = {**BASICS, REGISTRATION_PATH: text}
    assert read(files).planes[PROD].registration.values == {"platform": {"a": {"k\u2028": "\u202e"}}}
