"""Whatever is wrong with a file: where it is noticed, by which code, and what the caller is told to do.

docs/api.md has the same table for callers.
"""

import io
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.ports import Neutral
from providers.local import faces, ffmpeg
from providers.local.photo import decode
from providers.local.speech import RATE
from schemas import records as codec
from tests import inline
from tests.api import Api, code, flaws, payload, serve
from tests.conftest import Servers
from tests.portraits import astronaut
from tests.recordings import recorded, stock
from tests.workshop import Workshop

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
LOCAL = dict.fromkeys(("photo", "neutral_image", "voice_sample", "b_roll"), "local")
AT_THE_DOOR_S = 2.0
MIB = 2**20

Make = Callable[[Path], bytes]


@dataclass(frozen=True)
class Bad:
    """`at` is the call that refuses it, or the stage that fails; `says` is what the message must have."""

    make: Make
    at: str
    code: str
    says: str


@pytest.fixture(scope="module")
def api(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    name = servers.databases.clone()
    folder = tmp_path_factory.mktemp("assets")
    made = serve(servers.databases.url(name), folder.as_uri(), max_upload_bytes=25 * MIB)
    yield made
    made.database.dispose()
    servers.databases.drop(name)


@pytest.fixture(scope="module")
def workshop(api: Api) -> Workshop:
    return Workshop.of(api, **LOCAL)


# --- the files ----------------------------------------------------------------------------


def picture(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    made = io.BytesIO()
    shown = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    shown.save(made, kind, **options)
    return made.getvalue()


def photo(change: Callable[[np.ndarray], np.ndarray] = np.ascontiguousarray, kind: str = "PNG") -> Make:
    return lambda _: picture(change(astronaut()), kind)


def animation(kind: str) -> Make:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue", "green")]
    return lambda _: picture(frames[0], kind, save_all=True, append_images=frames[1:])


def cut(make: Make, share: float = 0.7) -> Make:
    def shorter(folder: Path) -> bytes:
        whole = make(folder)
        return whole[: int(len(whole) * share)]

    return shorter


def holed(make: Make, share: float = 0.2) -> Make:
    """Its beginning and its end are there."""

    def damaged(folder: Path) -> bytes:
        data = bytearray(make(folder))
        hole, middle = int(len(data) * share), len(data) // 3
        data[middle : middle + hole] = bytes(hole)
        return bytes(data)

    return damaged


def bomb(side: int = 30_000) -> bytes:
    """A whole picture of 900 million black points in 110 kB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    row = bytes(1 + (side + 7) // 8)
    header = side.to_bytes(4, "big") * 2 + bytes((1, 0, 0, 0, 0))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row * side, 1)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def video(name: str, *options: str) -> Make:
    def film(folder: Path) -> bytes:
        shown = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=3"]
        ffmpeg.run([*shown, *options, folder / name])
        return (folder / name).read_bytes()

    return film


MP4 = video("film.mp4", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-g", "25")
WEBM = video("film.webm", *VP8)
RECORDED_WEBM = video("live.webm", *VP8, "-live", "1")


def sound(change: Callable[[np.ndarray], np.ndarray] = np.ascontiguousarray, name: str = "a.wav") -> Make:
    options = ("-b:a", "32k") if name.endswith("mp3") else ()
    return lambda folder: recorded(folder / name, change(stock()), "anull", *options).read_bytes()


def loud(voice: np.ndarray) -> np.ndarray:
    return np.clip(6 * voice / np.abs(voice).max(), -1, 1)


def hiss(seconds: float, level: float) -> np.ndarray:
    return np.random.default_rng(9).normal(0, level, round(seconds * RATE)).astype(np.float32)


BAD = {
    "a text that is named as a photo": Bad(lambda _: b"Dear Sir or Madam, " * 9, "upload", "unsupported_media", "JPEG"),
    "an animated GIF": Bad(animation("GIF"), "upload", "unsupported_media", "JPEG, PNG and WebP"),
    "an animated WebP": Bad(animation("WEBP"), "upload", "animated_image", "Send one still picture"),
    "an animated PNG": Bad(animation("PNG"), "upload", "animated_image", "Send one still picture"),
    "a JPEG that broke off": Bad(cut(photo(kind="JPEG")), "upload", "unreadable_image", "Upload it again"),
    "a PNG that broke off": Bad(cut(photo()), "upload", "unreadable_image", "Upload it again"),
    "a WebP that broke off": Bad(cut(photo(kind="WEBP")), "upload", "unreadable_image", "Upload it again"),
    "a PNG with a hole": Bad(holed(photo()), "upload", "unreadable_image", "Upload it again"),
    "a PNG with a scratch": Bad(
        holed(photo(), share=1e-4), "validate_images", "unreadable_image", "save it again as JPEG"
    ),
    "900 million pixels": Bad(lambda _: bomb(), "upload", "image_too_large", "Send it smaller"),
    "no face": Bad(photo(lambda p: p[250:]), "validate_images", "no_face", "Use a photo of one person"),
    "two faces": Bad(photo(lambda p: np.hstack([p, p])), "validate_images", "several_faces", "shows one person only"),
    "a tiny face": Bad(
        photo(lambda p: cv2.resize(p, (128, 128), interpolation=cv2.INTER_AREA)),
        "validate_images", "face_too_small", "Use a larger photo",
    ),
    "a blurred face": Bad(
        photo(lambda p: cv2.GaussianBlur(p, (0, 0), 3)), "validate_images", "face_blurred", "that is in focus"
    ),
    "a face in the dark": Bad(
        photo(lambda p: (p * 0.15).astype(np.uint8)), "validate_images", "face_too_dark", "with light on the face"
    ),
    "a burnt-out face": Bad(
        photo(lambda p: np.clip(p * 1.6 + 40, 0, 255).astype(np.uint8)),
        "validate_images", "face_overexposed", "with softer light",
    ),
    "half a face": Bad(photo(lambda p: p[92:]), "validate_images", "face_cut_off", "with the whole face in it"),
    "an MP4 that broke off": Bad(cut(MP4), "upload", "unreadable_video", "Upload it again"),
    "a WebM that broke off": Bad(cut(WEBM), "upload", "unreadable_video", "Upload it again"),
    "a browser's recording that broke off": Bad(cut(RECORDED_WEBM), "upload", "unreadable_video", "Upload it again"),
    "a video for a photo": Bad(MP4, "avatars", "validation_failed", "is a video, not a photo"),
    "a photo for a voice": Bad(photo(), "voices", "validation_failed", "is a photo, not a voice_sample"),
    "an MP4 with a hole, as b-roll": Bad(holed(MP4), "b_roll", "unreadable_video", "Upload it again"),
    "silence": Bad(sound(lambda v: np.zeros(12 * RATE)), "validate_voice", "silent_sample", "Check the microphone"),
    "9 seconds": Bad(sound(lambda v: v[: 9 * RATE]), "validate_voice", "sample_too_short", "Record half a minute"),
    "5 minutes and a little": Bad(
        sound(lambda v: np.tile(v, 20)[: 302 * RATE], "a.mp3"), "validate_voice", "sample_too_long", "A minute"
    ),
    "a clipped recording": Bad(sound(loud), "validate_voice", "clipped_sample", "Turn the microphone down"),
    "a noisy recording": Bad(
        sound(lambda v: v + hiss(len(v) / RATE, 0.02)), "validate_voice", "noisy_sample", "in a quiet room"
    ),
    "nobody speaking": Bad(sound(lambda v: hiss(15, 0.1)), "validate_voice", "no_speech", "Record one person"),
    "a recording that broke off": Bad(cut(sound()), "validate_voice", "truncated_sound", "Upload it again"),
    "a head of a recording": Bad(
        lambda _: b"RIFF\x24\0\0\0WAVEfmt " + bytes(100), "validate_voice", "unreadable_sound", "Send a whole WAV"
    ),
}  # fmt: skip
GOOD: dict[str, Make] = {
    "a photo of a phone that lay on its side": lambda _: picture(
        np.ascontiguousarray(np.rot90(astronaut())), "JPEG", exif=sideways(), quality=95
    ),
    "a photo for print, in CMYK": lambda _: picture(Image.fromarray(astronaut()).convert("CMYK"), "JPEG", quality=95),
}


def sideways() -> Image.Exif:
    """To be shown turned clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


# --- what is answered ---------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_noticed_and_said_with_what_to_do(
    workshop: Workshop, api: Api, tmp_path: Path, name: str
) -> None:
    bad = BAD[name]
    content, before, began = bad.make(tmp_path), api.rows(), time.monotonic()
    answer = api.product.upload(content, "portrait.jpg")
    if bad.at == "upload":
        assert time.monotonic() - began < AT_THE_DOOR_S
        assert (answer.status_code, code(answer)) == (422, bad.code)
        assert bad.says in answer.get_json(force=True)["detail"]
        assert api.rows() == before
        return
    asset = answer.get_json()
    call, asked = call_for(bad.at, asset)
    answer = api.product.post(f"/v1/{call}", asked if call != "outputs" else api.output_payload(**asked))
    if bad.at == call:
        assert (answer.status_code, code(answer)) == (422, bad.code)
        assert any(bad.says in detail for detail in flaws(answer).values())
        return
    assert answer.status_code == 202, answer.text
    job = workshop.run(answer.get_json()["id"])
    shown = api.product.get(f"/v1/jobs/{job.id}").get_json()
    error = shown["error"]
    assert shown["status"] == "failed", shown
    assert (error["stage"].rpartition("/")[2], error["code"]) == (bad.at, bad.code), error["message"]
    assert (error["retryable"], error["attempts"]) == (False, 1)
    assert bad.says in error["message"]
    if bad.at.startswith("validate_"):
        assert error["details"]["pointer"] in ("/inputs/images/0", "/inputs/voice_sample")


def call_for(at: str, asset: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    named = {"asset_id": asset["id"]}
    if at in ("avatars", "validate_images"):
        return "avatars", payload("avatar.create/1", inputs={"images": [named]})
    if at in ("voices", "validate_voice"):
        return "voices", payload("voice.clone/1", inputs={"voice_sample": named})
    return "outputs", {"script": {"text": "One."}, "b_roll": {"enabled": True, "assets": [asset["id"]]}}


@pytest.mark.parametrize("name", GOOD)
def test_what_only_looks_wrong_becomes_an_upright_avatar(workshop: Workshop, tmp_path: Path, name: str) -> None:
    uploaded = workshop.upload(workshop.api.product, GOOD[name](tmp_path))
    asked = payload("avatar.create/1", inputs={"images": [{"asset_id": uploaded}]})
    job = workshop.run(workshop.submit(workshop.api.product, "avatars", asked))
    assert job.status == "completed", job.error
    made = inline.rows(workshop.house.database, job.id)["neutral_image"].output
    image = codec.load(made["neutral"], Neutral).image
    with workshop.house.storage.fetch(image.sha256) as file:
        (face,) = faces.find(decode(file))
    assert abs(face.roll) < 3


def test_whole_videos_are_taken_as_browsers_and_encoders_write_them(api: Api, tmp_path: Path) -> None:
    for make in (MP4, WEBM, RECORDED_WEBM):
        answer = api.product.upload(make(tmp_path))
        assert (answer.status_code, answer.get_json().get("kind")) == (201, "video"), answer.text


def test_a_bomb_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    """In a process of its own, whose largest size tells; where the picture was fetched, the stage meets it first."""
    (tmp_path / "bomb.png").write_bytes(bomb())
    program = """
import resource, sys, time
from pathlib import Path
from pipeline.errors import ImageTooLarge
from providers.local.photo import decode
size = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, began = size(), time.monotonic()
try:
    decode(Path(sys.argv[1]))
except ImageTooLarge:
    print(size() - before, time.monotonic() - began)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "bomb.png")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    kilobytes, seconds = map(float, told.split())
    assert kilobytes < 32 * 1024
    assert seconds < 1


def test_the_page_for_callers_has_the_whole_table() -> None:
    section = re.search(r"^## What is refused and why$(.*?)^## ", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert section
    assert {bad.code for bad in BAD.values()} <= set(re.findall(r"`([a-z_]+)`", section[1]))
