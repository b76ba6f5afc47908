"""What every storage does alike, over a folder and over S3 (a real HTTP server on loopback)."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import AssetDamaged
from providers.storage import Storage, StorageUnusable

MISSING = "0" * 64


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server, which the standard variables name."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str) -> str:
    import s3fs

    name = f"likeness-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(name)
    return name


@pytest.fixture
def on_s3(bucket: str) -> Storage:
    return Storage(f"s3://{bucket}/assets")


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return Storage((tmp_path / "assets").as_uri())
    return request.getfixturevalue("on_s3")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo"
    file.write_bytes(os.urandom(2_500_000))
    return file


def test_what_is_put_comes_back_and_goes_when_deleted(storage: Storage, photo: Path) -> None:
    sha256, size = storage.put(photo)
    assert (sha256, size) == (hashlib.sha256(photo.read_bytes()).hexdigest(), 2_500_000)
    assert storage.put(photo) == (sha256, size)
    assert storage.exists(sha256)
    assert storage.size(sha256) == size
    with storage.fetch(sha256) as file:
        assert file.read_bytes() == photo.read_bytes()
    storage.delete(sha256)
    assert not storage.exists(sha256)
    storage.delete(sha256)


@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (0, 1), (1, 2_000_000), (1_048_575, 1_048_577), (2_499_999, None), (5, 9**9), (7, 7)]
)
def test_a_range_is_the_same_slice_of_the_content(storage: Storage, photo: Path, start: int, end: int | None) -> None:
    sha256, _ = storage.put(photo)
    pieces = list(storage.read(sha256, start, end))
    assert b"".join(pieces) == photo.read_bytes()[start:end]
    assert all(len(piece) <= 1 << 20 for piece in pieces)


def test_an_empty_file_is_kept_like_any_other(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    sha256, size = storage.put(tmp_path / "empty")
    assert size == 0
    assert list(storage.read(sha256)) == []
    with storage.fetch(sha256) as file:
        assert file.read_bytes() == b""


def test_what_is_not_there_is_damage_and_is_said_before_the_first_byte(storage: Storage) -> None:
    with pytest.raises(AssetDamaged), storage.fetch(MISSING):
        pass
    with pytest.raises(AssetDamaged):
        storage.read(MISSING)
    with pytest.raises(AssetDamaged):
        storage.size(MISSING)


def test_a_healthy_storage_passes_its_check_and_keeps_nothing_of_it(storage: Storage) -> None:
    storage.check()
    assert storage.sweep(timedelta(seconds=-60)) == 0


def test_a_damaged_object_is_noticed_and_mended_by_the_next_put(on_s3: Storage, bucket: str, photo: Path) -> None:
    import s3fs

    sha256, size = on_s3.put(photo)
    s3fs.S3FileSystem().pipe_file(f"{bucket}/assets/sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}", b"\0" * size)
    with pytest.raises(AssetDamaged), on_s3.fetch(sha256):
        pass
    on_s3.put(photo)
    with on_s3.fetch(sha256) as file:
        assert file.read_bytes() == photo.read_bytes()


def test_a_bucket_that_is_not_there_is_said_in_one_line(s3: str) -> None:
    with pytest.raises(StorageUnusable) as caught:
        Storage("s3://no-such-bucket/assets").check()
    assert "no-such-bucket" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_upload_in_parts_that_was_never_finished_is_swept(on_s3: Storage, bucket: str) -> None:
    import s3fs

    files = s3fs.S3FileSystem()
    files.call_s3("create_multipart_upload", Bucket=bucket, Key=f"assets/sha256/00/00/{MISSING}")
    files.call_s3("create_multipart_upload", Bucket=bucket, Key="another/program")
    assert on_s3.sweep(timedelta(seconds=60)) == 1  # this server says of every upload that it began in 2010
    assert [upload["Key"] for upload in files.list_multipart_uploads(bucket)] == ["another/program"]


def test_a_storage_made_before_a_fork_works_after_it(on_s3: Storage, photo: Path) -> None:
    sha256, size = on_s3.put(photo)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if on_s3.size(sha256) == size else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
