"""A folder as asset storage: what a crash, a rotten disk and a second writer leave."""

import hashlib
import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import AssetDamaged
from providers.storage import Storage, StorageUnusable


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage((tmp_path / "assets").as_uri())


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo"
    file.write_bytes(os.urandom(3_000_000))
    return file


def stored(tmp_path: Path, sha256: str) -> Path:
    return tmp_path / "assets" / "sha256" / sha256[:2] / sha256[2:4] / sha256


def test_a_stored_file_lies_under_its_digest_and_nothing_else_is_left(
    storage: Storage, photo: Path, tmp_path: Path
) -> None:
    sha256, size = storage.put(photo)
    assert sha256 == hashlib.sha256(photo.read_bytes()).hexdigest()
    assert size == 3_000_000
    assert [file for file in (tmp_path / "assets").rglob("*") if file.is_file()] == [stored(tmp_path, sha256)]


def test_putting_the_same_content_again_leaves_the_stored_file_alone(
    storage: Storage, photo: Path, tmp_path: Path
) -> None:
    sha256, _ = storage.put(photo)
    before = stored(tmp_path, sha256).stat()
    storage.put(photo)
    after = stored(tmp_path, sha256).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"\0" + content[1:]])
def test_a_damaged_file_is_noticed_and_mended_by_the_next_put(
    storage: Storage, photo: Path, tmp_path: Path, damage
) -> None:
    sha256, _ = storage.put(photo)
    file = stored(tmp_path, sha256)
    file.chmod(0o644)
    file.write_bytes(damage(photo.read_bytes()))
    with pytest.raises(AssetDamaged) as caught, storage.fetch(sha256):
        pass
    assert caught.value.details["sha256"] == sha256
    storage.put(photo)
    with storage.fetch(sha256) as mended:
        assert mended.read_bytes() == photo.read_bytes()


def test_a_crash_before_the_rename_leaves_only_what_the_sweep_removes(
    storage: Storage, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(Path, "replace", lambda *_: os._exit(9))
        storage.put(photo)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not storage.exists(hashlib.sha256(photo.read_bytes()).hexdigest())
    (partial,) = (tmp_path / "assets" / "partial").iterdir()
    assert storage.sweep(timedelta(seconds=60)) == 0
    hour_ago = time.time() - 3600
    os.utime(partial, (hour_ago, hour_ago))
    assert storage.sweep(timedelta(seconds=60)) == 1
    assert storage.sweep(timedelta(seconds=60)) == 0


def test_a_disk_that_fills_up_leaves_nothing(
    storage: Storage, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("providers.storage.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        storage.put(photo)
    assert [file for file in (tmp_path / "assets").rglob("*") if file.is_file()] == []


def test_many_writers_of_one_content_agree(storage: Storage, photo: Path, tmp_path: Path) -> None:
    answers, failures = [], []

    def put() -> None:
        try:
            answers.append(storage.put(photo))
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=put) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert len(set(answers)) == 1
    assert list((tmp_path / "assets" / "partial").iterdir()) == []
    with storage.fetch(answers[0][0]) as file:
        assert file.read_bytes() == photo.read_bytes()


def test_a_stored_file_cannot_be_written_by_accident(storage: Storage, photo: Path, tmp_path: Path) -> None:
    sha256, _ = storage.put(photo)
    assert stored(tmp_path, sha256).stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_no_digest_reaches_no_file(storage: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        storage.exists(key)


@pytest.mark.parametrize("url", ["http://example.com/x", "memory://x", "ftp://x"])
def test_an_unknown_kind_of_storage_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match=url.partition(":")[0]):
        Storage(url)


def test_the_check_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "assets").write_text("a file where the folder should be")
    with pytest.raises(StorageUnusable) as caught:
        Storage((tmp_path / "assets").as_uri()).check()
    assert "\n" not in str(caught.value)
    assert "assets" in str(caught.value)
