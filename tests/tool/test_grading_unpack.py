"""What a stranger has packed is unpacked, and nothing leads out of its folder."""

import io
import os
import re
import stat
import sys
import tarfile
import zipfile

import pytest

from tutorial.check.copies import Unfit
from tutorial.grading import handins, unpack
from tutorial.grading.unpack import unpack as unpacked

FORMS = ["mychat.zip", "mychat.tar", "mychat.tar.gz", "mychat.TGZ", "mychat.tar.xz"]
LINKS = pytest.mark.skipif(sys.platform == "win32", reason="makes links")


@pytest.fixture
def pack(tmp_path):
    """Make an archive: bytes are a file, None is a folder, and text is a link to it."""

    def in_zip(path, entries):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in entries:
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                if isinstance(content, str):
                    info.external_attr = (stat.S_IFLNK | 0o777) << 16
                packed.writestr(info, content or b"")

    def in_tar(path, entries):
        with tarfile.open(path, f"w:{path.suffix[1:]}") as packed:
            for name, content in entries:
                info = tarfile.TarInfo(name.rstrip("/"))
                if content is None:
                    info.type = tarfile.DIRTYPE
                elif isinstance(content, str):
                    info.type, info.linkname = tarfile.SYMTYPE, content
                else:
                    info.size = len(content)
                file = io.BytesIO(content) if isinstance(content, bytes) else None
                packed.addfile(info, file)

    def make(name, *entries):
        path = tmp_path / name
        (in_zip if path.suffix == ".zip" else in_tar)(path, entries)
        return path

    return make


def files_in(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )


@pytest.mark.parametrize("name", FORMS)
def test_it_is_unpacked_without_what_a_check_leaves_behind(pack, tmp_path, name):
    if name.endswith((".tar", ".TGZ")):
        mode = "w" if name.endswith(".tar") else "w:gz"
        archive = tmp_path / name
        with tarfile.open(archive, mode) as packed:
            for path in ("./my chat/manage.py", "my chat/.venv/x", "__MACOSX/._x"):
                packed.addfile(tarfile.TarInfo(path), io.BytesIO())
    else:
        entries = [(f"my chat/{path}", b"") for path in ("manage.py", ".venv/x")]
        archive = pack(name, *entries, ("__MACOSX/._x", b""))
    unpacked(archive, tmp_path / "out")
    assert files_in(tmp_path / "out") == ["my chat/manage.py"]


@pytest.mark.parametrize(
    "name",
    ["../out.py", "a/../../out.py", "/tmp/out.py", "..\\out.py", "C:\\out.py"],
)
@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
def test_no_name_leads_out(pack, tmp_path, form, name):
    archive = pack(form, ("manage.py", b""), (name, b"bad"))
    with pytest.raises(Unfit, match=f"^{form} reaches out of its folder, by "):
        unpacked(archive, tmp_path / "place" / "out")
    assert not [*tmp_path.rglob("out.py")]


@LINKS
@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize(
    "entries",
    [
        [("link", "/etc/passwd")],
        [("link", "../../secret")],
        [("link", ".."), ("link/out.py", b"bad")],
        [("in", "sub"), ("sub/", None), ("in2", "in/../../..")],
        [("a", "b/.."), ("b", "c/.."), ("c/", None), ("d", "a/a/..")],
    ],
    ids=["absolute", "above", "written-through", "by-a-link", "in-steps"],
)
def test_no_link_leads_out(pack, tmp_path, form, entries):
    archive = pack(form, ("manage.py", b""), *entries)
    out = tmp_path / "place" / "out"
    try:
        unpacked(archive, out)
    except Unfit as error:
        assert re.search("reaches out of its folder, by |cannot be", str(error))
    else:
        for path in out.rglob("*"):
            assert os.path.realpath(path).startswith(os.path.realpath(out)), path
    elsewhere = [one for one in tmp_path.rglob("*.py") if out not in one.parents]
    assert not elsewhere


@LINKS
@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
def test_a_link_inside_is_one(pack, tmp_path, form):
    archive = pack(form, ("pages/", None), ("chat/x", b"1"), ("pages/chat", "../chat"))
    unpacked(archive, tmp_path / "out")
    assert (tmp_path / "out" / "pages" / "chat" / "x").read_bytes() == b"1"


def test_a_hard_link_is_a_copy_and_a_device_is_refused(tmp_path):
    for kind in (tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        archive = tmp_path / "a.tar"
        with tarfile.open(archive, "w") as packed:
            packed.addfile(tarfile.TarInfo("manage.py"), io.BytesIO())
            info = tarfile.TarInfo("chat/other.py")
            info.type, info.linkname = kind, "manage.py"
            packed.addfile(info)
        if kind != tarfile.LNKTYPE:
            with pytest.raises(Unfit, match="a.tar holds chat/other.py, no file"):
                unpacked(archive, tmp_path / kind.decode())
            continue
        unpacked(archive, tmp_path / "out")
        assert files_in(tmp_path / "out") == ["chat/other.py", "manage.py"]


@pytest.fixture
def small(monkeypatch):
    for name, most in (
        ("MOST_BYTES", 1_000_000),
        ("MOST_READ", 5_000_000),
        ("MOST_FILES", 50),
        ("MOST_ENTRIES", 500),
        ("MOST_PACKED", 100_000),
    ):
        monkeypatch.setattr(unpack, name, most)


@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("big", b"0" * 1_000_001)], "more than 50 files, or more than 1 MB"),
        ([(f"{n}", b"0" * 100_000) for n in range(12)], "or more than 1 MB"),
        ([(f"{n}", b"") for n in range(60)], "more than 50 files"),
        ([(f".venv/{n}", b"") for n in range(600)], "more than 500 files"),
        ([("d/" * 40 + "x", b"")], "more than 32 folders in folders"),
        ([("x" * 201, b"")], "a very long name, xxx"),
        ([("packed", os.urandom(200_000))], "has more than 0 MB"),
        ([("a", b""), ("a/b", b"")], "cannot be unpacked"),
    ],
    ids=[
        "one-file",
        "many-bytes",
        "files",
        "stays-packed",
        "deep",
        "long",
        "large",
        "contradicts",
    ],
)
def test_a_bomb_is_a_sentence(pack, small, tmp_path, form, entries, says):
    archive = pack(form, *entries)
    with pytest.raises(Unfit, match=says) as error:
        unpacked(archive, tmp_path / "out")
    assert error.value.kind == "nothing"
    written = sum(path.stat().st_size for path in tmp_path.rglob("out/**/*"))
    assert written <= 1_100_000


def test_what_stays_packed_is_not_read_for_ever(small, tmp_path):
    """A tar has to be read to its end to know what is in it."""
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        info = tarfile.TarInfo(".venv/zeros")
        info.size = 6_000_000
        packed.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(Unfit, match="or more than 1 MB"):
        unpacked(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.zip", b"", "damaged, or no archive"),
        ("a.zip", b"PK\x03\x04 and then nothing", "damaged, or no archive"),
        ("a.tar.gz", b"no gzip", "damaged, or no archive"),
        ("a.tgz", b"\x1f\x8b\x08\x00", "damaged, or no archive"),
        ("a.7z", b"7z", "neither a zip nor a tar: pack it anew"),
        ("a.rar", b"Rar!", "neither a zip nor a tar"),
    ],
)
def test_what_is_no_archive_is_a_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unfit, match=says):
        unpacked(tmp_path / name, tmp_path / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="not every name is one there")
@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
def test_odd_names_are_names(pack, tmp_path, form):
    names = ["Grüße 你好.txt", "a\nb.py", "-rf", "=cmd()", "x\u202ey", "CON", "a b "]
    unpacked(pack(form, *((name, b"") for name in names)), tmp_path / "out")
    assert files_in(tmp_path / "out") == sorted(names)


def test_a_name_that_is_no_text_is_unpacked(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", encoding="latin-1") as packed:
        packed.addfile(tarfile.TarInfo("M\xfcller.py"), io.BytesIO())
    try:
        unpacked(archive, tmp_path / "out")
    except Unfit as error:  # where a system wants text, as macOS does
        str(error).encode()
    else:
        assert len(files_in(tmp_path / "out")) == 1


def test_a_password_and_a_torn_file(pack, tmp_path):
    archive = pack("a.zip", ("manage.py", b"x" * 1000))
    whole = archive.read_bytes()
    locked = bytearray(whole)
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    torn = bytearray(whole)
    torn[40] ^= 0xFF
    for content, says in ((locked, "wants a password"), (torn, "is damaged")):
        archive.write_bytes(content)
        with pytest.raises(Unfit, match=says):
            unpacked(archive, tmp_path / says)


# --- What is handed in ------------------------------------------------------


@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
def test_the_project_is_found_as_an_lms_hands_it_over(pack, tmp_path, form):
    archive = pack(form, ("mychat/manage.py", b"1"))
    room = tmp_path / "class"
    folder = room / "Ann Doe_1_assignsubmission_file_"
    folder.mkdir(parents=True)
    (room / f"doeann_1_2_{form}").write_bytes(archive.read_bytes())
    (folder / form).write_bytes(archive.read_bytes())
    for handin in handins.learners_in(room):
        with handins.opened(handin) as project:
            assert (project / "manage.py").read_bytes() == b"1"
            assert not project.is_relative_to(room)
        assert not project.exists()


def test_a_folder_with_a_project_is_taken_as_it_is(tmp_path):
    for name in ("manage.py", "old.zip"):
        (tmp_path / name).touch()
    with handins.opened(tmp_path) as project:
        assert project == tmp_path


def test_of_two_archives_nobody_guesses(tmp_path):
    for name in ("a.zip", "b.zip"):
        (tmp_path / name).touch()
    with pytest.raises(Unfit, match="holds 2 archives, a.zip and b.zip. Which is it"):
        handins.archive_of(tmp_path)
