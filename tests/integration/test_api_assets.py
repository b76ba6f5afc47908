"""Files in and out: told by their bytes, streamed, resumable, and open to links that cannot be forged."""

import io
import struct
import tempfile
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from PIL import Image

from db.assets import NewAsset, add
from db.models import AssetRow
from pipeline.assets import Asset
from schemas.links import Links
from tests import factories
from tests.api import Api, Caller, code, listening, picture
from webapp.door import NAME

BOMB_SIDE = 30_000
AUDIO = {
    "audio/wav": b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 100,
    "audio/mpeg": b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\x00" * 100,
    "audio/mp4": b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00" + b"\x00" * 100,
    "audio/ogg": b"OggS\x00\x02" + b"\x00" * 100,
    "audio/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm" + b"\x00" * 100,
}


def png_header(width: int, height: int, between: bytes = b"") -> bytes:
    """A whole PNG file in a few bytes that promises this many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + between
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def thumbnailed(photo: bytes) -> bytes:
    """The photo with a whole small JPEG in its EXIF block, as cameras write it."""
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "JPEG")
    block = b"Exif\0\0" + small.getvalue()
    return photo[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + photo[2:]


@pytest.fixture
def kept(api: Api) -> dict[str, object]:
    """An uploaded photo, and its bytes."""
    content = picture()
    answer = api.product.upload(content).get_json()
    return answer | {"content": content, "path": f"/v1/assets/{answer['id']}/content"}


# --- in -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")])
def test_a_photo_is_known_by_its_bytes_and_not_by_its_name(api: Api, kind: str, media_type: str) -> None:
    content = picture(64, 48, kind)
    response = api.product.upload(content, "notes.txt")
    asset = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/assets/{asset['id']}"
    assert (asset["kind"], asset["media_type"], asset["bytes"]) == ("photo", media_type, len(content))
    assert asset["facts"] == {"width": 64, "height": 48}
    assert requests_get(api, asset["url"]) == content


@pytest.mark.parametrize("media_type", AUDIO)
def test_sound_is_taken_as_a_voice_sample(api: Api, media_type: str) -> None:
    asset = api.product.upload(AUDIO[media_type], "photo.jpg").get_json()
    assert (asset["kind"], asset["media_type"], asset["facts"]) == ("voice_sample", media_type, {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"just some text, whatever its name", "unsupported_media"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_media"),
        (b"GIF89a" + b"\0" * 50, "unsupported_media"),
        (b"%PDF-1.7", "unsupported_media"),
        (b"\xff\xd8\xff", "unreadable_image"),
        (b"\xff\xd8\xff\xe0" + b"\x00garbage" * 100, "unreadable_image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "unreadable_image"),
        (b"RIFF\xff\xff\x00\x00WEBPVP8 " + b"\0" * 20, "unreadable_image"),
        (picture(200, 200)[:-3000], "unreadable_image"),
        (thumbnailed(picture(200, 200))[:-3000], "unreadable_image"),
        (picture(200, 200, "PNG")[:-20], "unreadable_image"),
        (picture(200, 200, "WEBP")[:-20], "unreadable_image"),
        (png_header(10, 10, b"\0\0\0\0aaAa\xca\xfe\xba\xbe" * 80_000), "unreadable_image"),
        (b"\xff\xd8" + b"\xff\xfe\x00\x02" * 200_000, "unreadable_image"),
        (png_header(8000, 5001), "image_too_large"),
        (png_header(BOMB_SIDE, BOMB_SIDE), "image_too_large"),
        (b"", "file_missing"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_photo_is_refused_and_not_kept(api: Api, content: bytes, expected: str) -> None:
    before = (api.rows(), files(api))
    response = api.product.upload(content, "photo.jpg")
    assert (response.status_code, code(response)) == (422, expected)
    assert (api.rows(), files(api)) == before


def test_photos_as_cameras_write_them_are_taken(api: Api) -> None:
    photo = picture(200, 200)
    for content in (thumbnailed(photo), photo + b"what some phones append: a little film"):
        assert api.product.upload(content).status_code == 201


def test_just_as_many_pixels_as_are_taken(api: Api) -> None:
    assert api.product.upload(png_header(8000, 5000)).get_json()["facts"] == {"width": 8000, "height": 5000}


def test_a_form_has_exactly_one_file(api: Api) -> None:
    caller, photo = api.product, picture()
    for form in (
        {},
        {"photo": (io.BytesIO(photo), "a.jpg")},
        {"file": (io.BytesIO(photo), "a.jpg"), "more": (io.BytesIO(photo), "b.jpg")},
        {"file": (io.BytesIO(photo), "a.jpg"), "kind": "photo"},
        {"file": "not a file"},
    ):
        response = caller._ask("POST", "/v1/assets", data=form, content_type="multipart/form-data")
        assert (response.status_code, code(response)) == (422, "file_missing"), form


def test_only_forms_are_taken(api: Api) -> None:
    response = api.product.raw("/v1/assets", picture(), media_type="image/jpeg")
    assert (response.status_code, code(response)) == (415, "unsupported_media_type")


def test_a_file_above_the_limit_is_refused(api: Api) -> None:
    limit = api.settings.max_upload_bytes
    response = api.product.upload(picture() + b"\0" * limit)
    assert (response.status_code, code(response)) == (413, "payload_too_large")


def test_two_gigabytes_are_refused_without_being_read(api: Api) -> None:
    headers = {"Authorization": "Bearer product token", "Content-Type": "multipart/form-data; boundary=x"}
    with listening(api.app) as url:
        announced = requests.Request("POST", f"{url}/v1/assets", headers=headers | {"Content-Length": str(2**31)})
        began = time.monotonic()
        with requests.Session() as session:
            answer = session.send(announced.prepare(), timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert time.monotonic() - began < 2


def test_an_endless_upload_is_cut_off_at_the_limit_and_leaves_nothing_behind(api: Api) -> None:
    """Where no length is announced; as a server hands a chunked body on."""
    body, before = Endless(), left_behind()
    response = api.product._ask(
        "POST",
        "/v1/assets",
        content_type="multipart/form-data; boundary=x",
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True},
    )
    assert (response.status_code, code(response)) == (413, "payload_too_large")
    assert body.given < 2 * api.settings.max_upload_bytes
    assert left_behind() == before


def test_equal_files_are_kept_once_and_are_two_assets(api: Api) -> None:
    content = picture()
    first, second = (api.product.upload(content).get_json() for _ in range(2))
    assert first["id"] != second["id"]
    assert first["sha256"] == second["sha256"]


# --- out ----------------------------------------------------------------------------------


def test_metadata_and_lineage(api: Api) -> None:
    job = factories.JobFactory.build()
    api.add(job)
    source, made = (Asset(f"ast_{name}", "photo", "image/png", 1, "0" * 64) for name in ("source", "made"))
    with api.database.transaction() as session:
        add(session, [NewAsset(source, {})], client="product")
        add(session, [NewAsset(made, {"width": 1}, (source.id,))], client="product", job_id=job.id, step="x", attempt=2)
    shown = api.product.get("/v1/assets/ast_made").get_json()
    assert (shown["job_id"], shown["step"], shown["attempt"]) == (job.id, "x", 2)
    assert (shown["made_from"], shown["made_into"]) == (["ast_source"], [])
    assert api.product.get("/v1/assets/ast_source").get_json()["made_into"] == ["ast_made"]
    assert api.product.get("/v1/assets/ast_source").get_json()["job_id"] is None


def test_the_bytes_with_a_token(api: Api, kept: dict[str, object]) -> None:
    response = api.product.get(str(kept["path"]))
    assert response.data == kept["content"]
    assert response.headers["Content-Type"] == "image/jpeg"
    assert response.headers["ETag"] == f'"{kept["sha256"]}"'
    assert response.headers["Content-Disposition"] == f'inline; filename="{kept["id"]}.jpg"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Accept-Ranges"] == "bytes"


def test_head_tells_the_same_without_the_bytes(api: Api, kept: dict[str, object]) -> None:
    response = api.product._ask("HEAD", str(kept["path"]))
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == str(kept["bytes"])


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, None),
        ("bytes=-5", -5, None),
        ("bytes=5-999999", 5, None),
        ("bytes=0-", 0, None),
    ],
)
def test_a_range(api: Api, kept: dict[str, object], asked: str, start: int, end: int | None) -> None:
    content = kept["content"]
    assert isinstance(content, bytes)
    response = api.product.get(str(kept["path"]), headers={"Range": asked})
    assert response.status_code == 206
    assert response.data == content[start:end]
    first = start if start >= 0 else len(content) + start
    last = first + len(response.data) - 1
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"


def test_a_range_that_is_not_there(api: Api, kept: dict[str, object]) -> None:
    response = api.product.get(str(kept["path"]), headers={"Range": f"bytes={kept['bytes']}-"})
    assert (response.status_code, code(response)) == (416, "range_not_satisfiable")
    assert response.headers["Content-Range"] == f"bytes */{kept['bytes']}"


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "bytes=9-1", "lines=1-2", "bytes", "bytes=a-b"])
def test_ranges_that_are_not_served_are_ignored(api: Api, kept: dict[str, object], asked: str) -> None:
    response = api.product.get(str(kept["path"]), headers={"Range": asked})
    assert (response.status_code, response.data) == (200, kept["content"])


def test_what_the_caller_has_is_not_sent_again(api: Api, kept: dict[str, object]) -> None:
    etag = f'"{kept["sha256"]}"'
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = api.product.get(str(kept["path"]), headers={"If-None-Match": condition})
        assert (response.status_code, response.data) == (304, b""), condition
    assert api.product.get(str(kept["path"]), headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_part_of_another_file_is_answered_with_the_whole(api: Api, kept: dict[str, object]) -> None:
    part = {"Range": "bytes=0-3"}
    assert api.product.get(str(kept["path"]), headers=part | {"If-Range": '"other"'}).status_code == 200
    assert api.product.get(str(kept["path"]), headers=part | {"If-Range": f'"{kept["sha256"]}"'}).status_code == 206


def test_a_large_file_comes_over_a_real_socket_whole_and_in_parts(api: Api) -> None:
    content = b"RIFF" + (3 * 2**20).to_bytes(4, "little") + b"WAVE" + bytes(range(256)) * (12 * 2**10)
    store = api.app.extensions[NAME].storage
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        sha256, size = store.put(Path(file.name))
    row: AssetRow = factories.AssetFactory.build(media_type="audio/wav", bytes=size, sha256=sha256)
    api.add(row)
    with listening(api.app) as base:
        url = f"{base}{Links(api.settings).asset(row.id)}"
        assert requests.get(url, timeout=10).content == content
        part = requests.get(url, headers={"Range": f"bytes={2**20 - 3}-{2**21 + 3}"}, timeout=10)
        assert (part.status_code, part.content) == (206, content[2**20 - 3 : 2**21 + 4])


# --- links --------------------------------------------------------------------------------


def test_a_link_alone_opens_its_asset_and_no_other(api: Api, kept: dict[str, object]) -> None:
    path, query = link(kept)
    assert api.nobody.get(f"{path}?{query}").data == kept["content"]
    other = api.product.upload(picture()).get_json()["id"]
    response = api.nobody.get(f"/v1/assets/{other}/content?{query}")
    assert (response.status_code, code(response)) == (403, "link_refused")


@pytest.mark.parametrize(
    "changes", [{"signature": "0" * 64}, {"signature": "é"}, {"expires": "9999999999"}, {"expires": "x"}]
)
def test_a_forged_link_is_refused(api: Api, kept: dict[str, object], changes: dict[str, str]) -> None:
    path, query = link(kept)
    response = api.nobody.get(f"{path}?{urlencode(dict(parse_qsl(query)) | changes)}")
    assert (response.status_code, code(response)) == (403, "link_refused")


def test_a_link_expires(api: Api, kept: dict[str, object]) -> None:
    long_ago = Links(api.settings, now=lambda: time.time() - 3 * 3600)
    response = api.nobody.get(long_ago.asset(str(kept["id"])))
    assert (response.status_code, code(response)) == (403, "link_expired")


def test_a_link_opens_for_the_set_time_and_stays_the_same_for_a_while(api: Api) -> None:
    moment = 1_800_000_000.0
    links = [Links(api.settings, now=lambda at=moment + later: at).asset("ast_1") for later in (0, 1, 3599)]  # type: ignore[misc]
    assert len(set(links)) == 1
    expires = int(dict(parse_qsl(urlsplit(links[0]).query))["expires"])
    assert moment + 3599 + api.settings.url_lifetime_s <= expires <= moment + 2 * api.settings.url_lifetime_s


def test_a_link_is_no_key_to_anything_else(api: Api, kept: dict[str, object]) -> None:
    _, query = link(kept)
    assert api.nobody.get(f"/v1/assets/{kept['id']}?{query}").status_code == 401
    assert api.nobody.get(f"/v1/jobs?{query}").status_code == 401


def test_a_wrong_token_is_wrong_even_with_a_link(api: Api, kept: dict[str, object]) -> None:
    path, query = link(kept)
    assert Caller(api.app, "wrong").get(f"{path}?{query}").status_code == 401


def test_links_bear_the_public_address_where_there_is_one(api: Api) -> None:
    links = Links(replace(api.settings, public_url="https://api.example/"), "http://internal/")
    assert links.asset("ast_1").startswith("https://api.example/v1/assets/ast_1/content?")


def test_others_assets_do_not_exist(api: Api, kept: dict[str, object]) -> None:
    for path in (f"/v1/assets/{kept['id']}", kept["path"]):
        response = api.other.get(str(path))
        assert (response.status_code, code(response)) == (404, "not_found")


@pytest.mark.parametrize("name", ["ast_unknown", "ast_%00", "..%2F..%2Fetc%2Fpasswd", "x" * 200, "%F0%9F%98%80"])
def test_ids_that_are_none_are_not_found(api: Api, name: str) -> None:
    for path in (f"/v1/assets/{name}", f"/v1/assets/{name}/content", f"/v1/jobs/{name}", f"/v1/avatars/{name}"):
        response = api.product.get(path)
        assert (response.status_code, code(response)) == (404, "not_found"), path


def test_a_file_that_is_gone_is_our_fault_and_said_to_be(api: Api) -> None:
    row = api.photo()
    response = api.product.get(f"/v1/assets/{row.id}/content")
    assert (response.status_code, code(response)) == (500, "asset_damaged")


class Endless(io.RawIOBase):
    """The body of a form with a file that does not end; counts what was read of it."""

    given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n\xff\xd8\xff'
        piece = (head if self.given == 0 else b"\0" * 2**16)[: len(buffer)]
        buffer[: len(piece)] = piece
        self.given += len(piece)
        return len(piece)


def link(kept: dict[str, object]) -> tuple[str, str]:
    parts = urlsplit(str(kept["url"]))
    return parts.path, parts.query


def requests_get(api: Api, url: str) -> bytes:
    parts = urlsplit(url)
    found: bytes = api.nobody.get(f"{parts.path}?{parts.query}").data
    return found


def files(api: Api) -> set[Path]:
    root = Path(urlsplit(api.settings.storage_url).path)
    return {path for path in root.rglob("*") if path.is_file()}


def left_behind() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("likeness-upload-*"))
