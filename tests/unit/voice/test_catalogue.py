"""What is known of published models, and what is said of those in a directory."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from voice.engines.catalogue import CATALOGUE
from voice.engines.model_entry import Download, ModelEntry
from voice.engines.model_shelf import Shelf, Standing, read_sums

NAMES = [entry.setting for entry in CATALOGUE]


@pytest.mark.parametrize("entry", CATALOGUE, ids=NAMES)
def test_all_is_known_of_each(entry: ModelEntry) -> None:
    assert entry.name
    assert entry.licence
    assert entry.languages
    assert entry.needed
    assert entry.downloads
    for each in entry.downloads:
        assert re.fullmatch(r"https://(github\.com/k2-fsa|huggingface\.co)/[\w./-]+", each.url)
        assert each.size > 100
        assert each.sha256 is None or re.fullmatch("[0-9a-f]{64}", each.sha256)
        assert each.url.endswith("/" + each.path.rpartition("/")[2])
    for path, sha256 in entry.hashes.items():
        assert re.fullmatch("[0-9a-f]{64}", sha256)
        assert path.startswith(f"{entry.name}/")
    if not entry.downloads[0].archive:
        assert set(entry.needed) == {each.path for each in entry.downloads}


def test_no_two_are_of_one_name_and_every_purpose_is_served_in_both_languages() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len({path for entry in CATALOGUE for path in entry.needed}) == sum(len(entry.needed) for entry in CATALOGUE)
    served = {(entry.purpose, language) for entry in CATALOGUE for language in entry.languages}
    assert len(served) == 6


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unpacked(hashes: dict[str, str] | None = None) -> ModelEntry:
    """Small: an archive of which two files are needed."""
    return ModelEntry(
        engine="sherpa-onnx", purpose="speech", languages=("en",), name="m", licence="MIT",
        downloads=(Download("https://x/m.tar.bz2", "m.tar.bz2", 7, sha256(b"archive")),),
        needed=("m/model*.onnx", "m/tokens.txt"), hashes=hashes or {},
    )  # fmt: skip


def single() -> ModelEntry:
    """Small: two files, fetched as they are."""
    files = {"v.onnx": b"model", "v.onnx.json": b"json"}
    return ModelEntry(
        engine="piper", purpose="speech", languages=("en",), name="v", licence="MIT",
        downloads=tuple(Download(f"https://x/{name}", name, len(it), sha256(it)) for name, it in files.items()),
        needed=tuple(files),
    )  # fmt: skip


def put(directory: Path, **files: bytes) -> None:
    for name, content in files.items():
        path = directory / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_a_directory_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert Shelf(tmp_path / "none").standing(single()) == Standing("not here")
    (tmp_path / "m").mkdir()
    assert Shelf(tmp_path).standing(unpacked()) == Standing("not here")


@pytest.mark.parametrize("directory", ["", "v__"])
def test_files_that_were_fetched_are_checked(tmp_path: Path, directory: str) -> None:
    put(tmp_path, **{f"{directory}v_DOT_onnx": b"model"})
    missing = Shelf(tmp_path).standing(single())
    assert missing.state == "here, incomplete"
    assert [name.rpartition("/")[2] for name in missing.missing] == ["v.onnx.json"]
    put(tmp_path, **{f"{directory}v_DOT_onnx_DOT_json": b"json"})
    assert Shelf(tmp_path).standing(single()).state == "here, checked"
    for damage in (b"MODEL", b"mode"):
        put(tmp_path, **{f"{directory}v_DOT_onnx": damage})
        assert Shelf(tmp_path).standing(single()).state == "here, but damaged"


def test_an_archive_is_checked_and_what_came_out_of_it_is_only_there(tmp_path: Path) -> None:
    put(tmp_path, m_DOT_tar_DOT_bz2=b"archive")
    assert Shelf(tmp_path).standing(unpacked()) == Standing("here, incomplete", missing=unpacked().needed)
    put(tmp_path, m__model_DOT_int8_DOT_onnx=b"model")
    assert Shelf(tmp_path).standing(unpacked()) == Standing("here, incomplete", missing=("m/tokens.txt",))
    put(tmp_path, m__tokens_DOT_txt=b"tokens")
    assert Shelf(tmp_path).standing(unpacked()) == Standing("here, archive checked")
    put(tmp_path, m_DOT_tar_DOT_bz2=b"ARCHIVE")
    assert Shelf(tmp_path).standing(unpacked()) == Standing("here, but damaged", damaged=("m.tar.bz2",))
    (tmp_path / "m.tar.bz2").unlink()
    assert Shelf(tmp_path).standing(unpacked()) == Standing("here, not checked")


def test_what_is_known_of_unpacked_files_is_checked(tmp_path: Path) -> None:
    put(tmp_path, m__model_DOT_onnx=b"model", m__tokens_DOT_txt=b"tokens")
    one = {"m/model.onnx": sha256(b"model")}
    assert Shelf(tmp_path).standing(unpacked(one)).state == "here, not checked"
    assert Shelf(tmp_path).standing(unpacked(one | {"m/tokens.txt": sha256(b"tokens")})).state == "here, checked"
    assert Shelf(tmp_path).standing(unpacked({"m/model.onnx": sha256(b"other")})).damaged == ("m/model.onnx",)


def test_a_list_of_hashes_is_honoured(tmp_path: Path) -> None:
    put(tmp_path, m__model_DOT_onnx=b"model", m__tokens_DOT_txt=b"tokens", other=b"1", bad=b"2", v_DOT_onnx=b"model")
    (tmp_path / "SHA256SUMS").write_text(
        f"{sha256(b'model')}  m/model.onnx\n{sha256(b'tokens').upper()} *./m/tokens.txt\n# made by hand\n\n"
        f"{sha256(b'1')}  other\n{sha256(b'3')}  bad\n{sha256(b'')}  gone\nno hash\n{sha256(b'')}  ../out\n"
        f"{sha256(b'')}  /etc/passwd\n{sha256(b'wrong')}  v.onnx\n"
    )
    shelf = Shelf(tmp_path)
    assert shelf.standing(unpacked()) == Standing("here, checked")
    assert shelf.sums.unread == (8, 9, 10)
    assert shelf.others([unpacked(), single()]) == {"other": True, "bad": False}
    assert shelf.standing(single()).state == "here, but damaged", "the list and what is known here contradict"


def test_a_list_that_is_none_is_empty(tmp_path: Path) -> None:
    assert not read_sums(tmp_path / "SHA256SUMS").hashes
    (tmp_path / "SHA256SUMS").write_bytes(b"\xff\xfe\0\n" * 3)
    assert read_sums(tmp_path / "SHA256SUMS").unread == (1, 2, 3)
    (tmp_path / "directory").mkdir()
    assert not read_sums(tmp_path / "directory").hashes
