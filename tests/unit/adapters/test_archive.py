"""Archives hold names and contents and nothing of the machine; what could do harm is not read."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.adapters import _archive
from ums.adapters._archive import check_inside, pack, read_folder, unpack
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError

NAMES = st.lists(st.from_regex(r"f[a-zä0-9_-]{0,7}", fullmatch=True), min_size=1, max_size=3).map(
    lambda parts: "/".join(parts) + ".x"
)
Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> Entry:
    """Return an entry of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def tgz(*entries: Entry) -> bytes:
    """Return an archive as somebody else would write it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def pax(name: str, **headers: str) -> Entry:
    """Return an entry whose extended header says something else than its plain one."""
    info, content = entry(name)
    info.pax_headers = headers
    return info, content


def second_archive() -> bytes:
    """Return an archive behind one block of zeros: to Python it has ended there."""
    first, second = (gzip.decompress(tgz(entry(name))) for name in "ab")
    return gzip.compress(first[:1024] + bytes(512) + second)


def damaged_header() -> bytes:
    """Return an archive whose second header has a wrong checksum: to Python it has ended there."""
    plain = bytearray(gzip.decompress(tgz(entry("a"), entry("b"))))
    plain[1024 + 148] ^= 1
    return gzip.compress(bytes(plain))


@given(st.dictionaries(NAMES, st.binary(max_size=50), min_size=1, max_size=5))
def test_files_come_back_whatever_their_order(files: dict[str, bytes]) -> None:
    """Packing is a function of names and contents, and unpacking undoes it."""
    packed, digest = pack(files)
    assert pack(dict(reversed(files.items()))) == (packed, digest)
    assert unpack(packed, "x.tgz") == files
    assert digest == Digest.of(gzip.decompress(packed))


def test_an_archive_holds_nothing_of_the_machine() -> None:
    """Owner, time, mode and system are the same everywhere, and files stand in order."""
    packed, _ = pack({"b": b"", "a/c": b"", "a-b": b""})
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        entries = archive.getmembers()
    assert [each.name for each in entries] == ["a-b", "a/c", "b"]
    assert {(each.mtime, each.uid, each.gid, each.uname, each.gname, each.mode) for each in entries} == {
        (0, 0, 0, "", "", 0o644)
    }
    assert packed[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def test_the_tar_of_a_file_never_changes() -> None:
    """The digest that releases record is the same on every machine and Python."""
    assert str(pack({"a": b"b"})[1]) == "sha256:8c5113902389f363d76ba6ac75ea2af30e19f3d1edb0088598b6104075d307d7"


def test_a_path_too_long_for_ustar_is_refused() -> None:
    """A path that only some readers understand is not written."""
    with pytest.raises(InvalidInputError, match="name is too long"):
        pack({"x" * 300: b""})


@pytest.mark.parametrize(
    "name",
    [
        *("a\\b", "a/b\\c", "/a", "a//b", "a/", "./a", "a/../b", "..", "", "-a", "a/-b", "a ", "a.", "a/b. ", "c:/a"),
        *("a:b", "a*", "a?", "a|b", "a<b", 'a"', "con", "con.yaml", "a/NUL", "Com1.txt", "lpt9", "a\tb", "a\nb", "a\0"),
        *("a\x7f", "a\x85", "a\u2028", "a\u202e", "\ufeffa", "a\ud800", "a\udcff"),
    ],
)
def test_names_that_readers_take_differently_are_not_packed(name: str) -> None:
    """What is written is one file to every reader, on every machine."""
    with pytest.raises(InvalidInputError, match="a name that is not portable"):
        pack({name: b""})


@pytest.mark.parametrize(
    "names", [("a", "A"), ("x/a", "X/a"), ("\xe4", "a\u0308"), ("a", "a/b"), ("A/b", "a"), ("ß", "SS")]
)
def test_names_that_are_one_on_some_machines_are_not_packed(names: tuple[str, str]) -> None:
    """A file system that ignores case, or how accents are written, would keep one of them."""
    with pytest.raises(InvalidInputError, match=r"one file on some machines|is a file, and a folder"):
        pack(dict.fromkeys(names, b""))


def test_ordinary_names_are_packed() -> None:
    """Charts have files with spaces, dots, underscores and umlauts."""
    names = [
        "a b.json",
        ".helmignore",
        "_helpers.tpl",
        "a@b+c~d,e=f",
        "ä/ß.txt",
        "console.yaml",
        "a/comm.yaml",
        "..a",
        "aux2",
    ]
    assert set(unpack(pack(dict.fromkeys(names, b""))[0], "x")) == set(names)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tgz(entry("/etc/passwd")), "leads outside"),
        (tgz(entry("a/../../b")), "leads outside"),
        (tgz(entry("..")), "leads outside"),
        (tgz(entry("a", b"", tarfile.SYMTYPE, "/etc/passwd")), "is a link"),
        (tgz(entry("a"), entry("b", b"", tarfile.LNKTYPE, "a")), "is a link"),
        (tgz(entry("a", b"", tarfile.FIFOTYPE)), "a device"),
        (tgz(entry("a", b"", tarfile.CHRTYPE)), "a device"),
        (tgz(entry("a"), entry("./a")), "in it twice"),
        (tgz(entry("a", b"", tarfile.GNUTYPE_SPARSE)), "sparse"),
        (tgz(entry("a", b"", tarfile.CONTTYPE)), "is a link, a device, or sparse"),
        (tgz(entry("app\\templates\\a.yaml")), "has a name that is not portable"),
        (tgz(entry("a\nb")), "has a name that is not portable"),
        (tgz(entry("a\x85b")), "has a name that is not portable"),
        (tgz(entry("a\udcff")), "has a name that is not portable"),
        (tgz(pax("a", path="a\0b")), "has a name that is not portable"),
        (tgz(pax("a", path="../b")), "leads outside"),
        (tgz(pax("a", size="-1")), "x.tgz"),
        (second_archive(), "something after its end, or a damaged header"),
        (damaged_header(), "something after its end, or a damaged header"),
        (b"", "cut short"),
        (b"no archive", "not a tar.gz"),
        (gzip.compress(b""), "not a tar.gz"),
        (gzip.compress(b"no archive" * 100), "not a tar.gz"),
        (tgz(entry("a"))[:-4], "cut short"),
        (tgz(entry("a")) + tgz(entry("b")), "something after its end"),
    ],
    ids=lambda value: value if isinstance(value, str) else "archive",
)
def test_archives_that_could_do_harm_are_refused(content: bytes, says: str) -> None:
    """Links, devices, ways out and what readers could take for different things end the reading."""
    with pytest.raises(InvalidInputError, match=says) as caught:
        unpack(content, "x.tgz")
    assert "x.tgz" in caught.value.message


@pytest.mark.parametrize(
    ("limit", "value", "files"),
    [
        ("MAX_FILES", 2, {"a": b"", "b": b"", "c": b""}),
        ("MAX_FILE_BYTES", 10, {"a": b"x" * 11}),
        ("MAX_TOTAL_BYTES", 10, {"a": b"x" * 6, "b": b"x" * 6}),
    ],
)
def test_limits_hold_for_folders_and_archives(
    limit: str, value: int, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number and size of files are bounded, one by one and together."""
    packed, _ = pack(files)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    unpack(packed, "x.tgz")
    read_folder(Path(), inside=tmp_path)
    monkeypatch.setattr(_archive, limit, value)
    with pytest.raises(InvalidInputError, match="exceeds the limits"):
        unpack(packed, "x.tgz")
    with pytest.raises(InvalidInputError, match="exceeds the limits"):
        read_folder(Path(), inside=tmp_path)


def test_a_bomb_is_given_up_while_it_grows() -> None:
    """A small archive of a huge one is refused before it is unpacked."""
    bomb = gzip.compress(bytes(_archive.MAX_TOTAL_BYTES + _archive.MAX_FILES * 4096 + 1), compresslevel=1)
    with pytest.raises(InvalidInputError, match="exceeds the limits"):
        unpack(bomb, "x.tgz")


@given(st.integers(0, 1535), st.integers(0, 255))
def test_a_damaged_archive_is_read_or_refused(position: int, value: int) -> None:
    """Whatever one byte of an archive becomes, reading it ends with files or in one kind of error."""
    plain = bytearray(gzip.decompress(tgz(entry("folder/a", b"x" * 300), entry("b"))))
    plain[position] = value
    try:
        unpack(gzip.compress(bytes(plain), compresslevel=1), "x.tgz")
    except InvalidInputError as error:
        assert "x.tgz" in error.message  # noqa: PT017 - either way is right


def test_a_folder_is_read_without_version_control(tmp_path: Path) -> None:
    """Files are named relative to the folder, whatever their modes; the history beside them is left out."""
    (tmp_path / "chart" / "templates").mkdir(parents=True)
    (tmp_path / "chart" / ".git").mkdir()
    (tmp_path / "chart" / ".git" / "HEAD").write_text("x")
    (tmp_path / "chart" / ".hidden").write_bytes(b"h")
    (tmp_path / "chart" / "templates" / "a.yaml").write_bytes(b"a")
    (tmp_path / "chart" / "templates" / "a.yaml").chmod(0o755)
    assert read_folder(Path("chart"), inside=tmp_path) == {".hidden": b"h", "templates/a.yaml": b"a"}


def _link_out(folder: Path) -> None:
    (folder / "in" / "link").symlink_to("/etc")


def _link_in(folder: Path) -> None:
    (folder / "in" / "link").symlink_to(folder / "in" / "file")


def _link_folder(folder: Path) -> None:
    (folder / "in" / "file").unlink()
    (folder / "in").rmdir()
    (folder / "in").symlink_to("/etc")


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "in" / "pipe")


def _bad_name(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder / "in") + b"/\xff")).write_bytes(b"")


def _backslash(folder: Path) -> None:
    (folder / "in" / "a\\b").write_bytes(b"")


def _newline(folder: Path) -> None:
    (folder / "in" / "a\nb").write_bytes(b"")


def _empty(folder: Path) -> None:
    (folder / "in" / "file").unlink()


def _file(folder: Path) -> None:
    _empty(folder)
    (folder / "in").rmdir()
    (folder / "in").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_link_out, "in/link is a symbolic link"),
        (_link_in, "in/link is a symbolic link"),
        (_link_folder, "in is a symbolic link"),
        (_fifo, "in/pipe is not a regular file"),
        (_bad_name, "a name that is not portable"),
        (_backslash, "a name that is not portable"),
        (_newline, "a name that is not portable"),
        (_empty, "in is empty"),
        (_file, "in is not a folder"),
    ],
)
def test_folders_that_another_machine_would_read_otherwise_are_refused(
    spoil: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    """Links, pipes and strange names are named, not followed."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(b"x")
    spoil(tmp_path)
    with pytest.raises(InvalidInputError, match=says):
        read_folder(Path("in"), inside=tmp_path)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/etc", "leads outside"),
        ("..", "leads outside"),
        ("a/../../etc", "leads outside"),
        ("missing", "does not exist"),
        ("x" * 300, "cannot be read"),
        ("a\0b", "does not exist"),
    ],
)
def test_paths_stay_inside(path: str, says: str, tmp_path: Path) -> None:
    """A path in a bundle names something in the bundle's folder."""
    with pytest.raises(InvalidInputError, match=says):
        check_inside(Path(path), tmp_path)


def test_the_bundle_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    """Where a user keeps a bundle is theirs to choose."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_folder(Path(), inside=tmp_path / "link") == {"a": b"x"}
