"""Finishing: an even loudness, marks that say what the file is, its index first, and a thumbnail."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from pipeline.assets import Asset
from pipeline.errors import RenderFailed
from pipeline.frame import Frame
from pipeline.ports import AssetStore, Finished, Footage
from providers.local import ffmpeg

TARGET_LUFS, CEILING_DBTP = -16.0, -1.0
LIMIT_DB = -2.5  # AAC adds overshoots of up to 1 dB
TOLERANCE_LU = 0.3
SILENCE_LUFS = -60.0
METER = "ebur128=peak=true:framelog=quiet"
MUTE_DB = -70.0  # where R128's gate ends: facts are JSON, which knows no infinity
VOICE = (
    "highpass=f=70,acompressor=threshold=-20dB:ratio=2.5:attack=8:release=120,"
    "aresample=48000,aformat=channel_layouts=stereo"
)
# Limited at four times the rate: what counts is the peak between the samples.
LIMITER = f"aresample=192000,alimiter=limit={LIMIT_DB}dB:attack=2:release=60:level=false:latency=true,aresample=48000"
TAGS = ("title", "comment", "description", "artist", "copyright", "date", "genre")
# An MP4 track names its language in ISO 639-2; of others than these it says that it is undetermined.
TRACK_LANGUAGES = {"en": "eng"}
XMP_NAMES = {
    "language": "dc:language",
    "title": "dc:title",
    "description": "dc:description",
    "digital_source_type": "Iptc4xmpExt:DigitalSourceType",
}
CONTROL = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]")  # neither a tag nor XML may hold these
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # XMP specification part 3, "MPEG-4"
DARK, FLAT = 24.0, 6.0
LOOK_AFTER_S = (0.0, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Loudness:
    """EBU R128: integrated LUFS, true peak in dBTP."""

    lufs: float
    peak: float


class LocalEnhancer:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def enhance(self, video: Footage, *, frame: Frame, marks: Mapping[str, str], thumbnail_at: float) -> Finished:
        """The picture as it is; the sound at -16 LUFS and below -1 dBTP, measured on the encoded result.

        Known marks (title, comment, …) become MP4 tags, the others `key: value` in the description; all of them also
        XMP, where `digital_source_type` is IPTC's statement. Raises RenderFailed.
        """
        with self.assets.scratch() as folder, self.assets.open(video.video) as source:
            file = folder / "video.mp4"
            level = _encode(source, file, marks)
            _append_xmp(file, marks)
            made = ffmpeg.probe(file)
            if not made.video or not made.audio or made.video.frames != video.frames:
                raise RenderFailed(f"The finished video does not have the {video.frames} frames of its cut. Try again.")
            seconds = video.frames / frame.fps
            facts = {
                "seconds": seconds, "frames": made.video.frames, "fps": frame.fps,
                "width": made.video.width, "height": made.video.height, "video_codec": made.video.codec,
                "profile": made.video.profile, "pixels": made.video.pixels, "audio_codec": made.audio.codec,
                "sample_rate": made.audio.sample_rate, "channels": made.audio.channels,
                "loudness_lufs": level.lufs, "true_peak_dbtp": level.peak,
                "drift_s": round(made.audio.end - made.video.end, 4),
            }  # fmt: skip
            kept = self.assets.keep(file, kind="video", media_type="video/mp4", facts=facts, made_from=[video.video])
            thumbnail = self._thumbnail(file, kept, folder / "thumbnail.jpg", thumbnail_at, seconds - 1 / frame.fps)
        return Finished(kept, thumbnail, seconds, level.lufs, level.peak)

    def _thumbnail(self, file: Path, video: Asset, picture: Path, at: float, last: float) -> Asset:
        """The first picture from `at` on that shows something; of dark ones the brightest."""
        best: tuple[float, float, Image.Image] | None = None
        for later in LOOK_AFTER_S:
            moment = max(0.0, min(at + later, last))
            image = _still(file, moment)
            grey = np.asarray(image.convert("L"), np.float32)
            if best is None or grey.mean() > best[0]:
                best = (float(grey.mean()), moment, image)
            if (grey.mean() > DARK and grey.std() > FLAT) or moment >= last:
                break
        assert best is not None
        luma, moment, image = best
        image.save(picture, quality=90, optimize=True, progressive=True)
        facts = {"width": image.width, "height": image.height, "at_s": round(moment, 3), "luma": round(luma, 1)}
        return self.assets.keep(picture, kind="thumbnail", media_type="image/jpeg", facts=facts, made_from=[video])


def measure(file: Path, chain: str = "anull") -> Loudness:
    """Integrated loudness and true peak of a file's sound after a filter chain; silence is -70."""
    return loudness(ffmpeg.run(["-i", file, "-map", "0:a:0", "-af", f"{chain},{METER}", "-f", "null", "-"]).log)


def loudness(log: str) -> Loudness:
    """What METER wrote."""
    lufs = re.findall(r"^\s*I:\s+(-?[\d.]+|-?inf|nan) LUFS", log, re.MULTILINE)
    peak = re.findall(r"^\s*Peak:\s+(-?[\d.]+|-?inf|nan) dBFS", log, re.MULTILINE)
    if not lufs or not peak:
        raise RenderFailed("ffmpeg did not measure the loudness: " + ffmpeg.last_words(log))
    return Loudness(*(value if isfinite(value) else MUTE_DB for value in (float(lufs[-1]), float(peak[-1]))))


def _encode(source: Path, file: Path, marks: Mapping[str, str]) -> Loudness:
    """Two passes: measure, then one constant gain and a limiter, which is loudnorm's linear mode without its fallback
    that pumps. What the limiter or the encoder took is given back in another round, at most twice."""
    before = measure(source, VOICE)
    gain = TARGET_LUFS - before.lufs if before.lufs > SILENCE_LUFS else 0.0
    spoken = TRACK_LANGUAGES.get(marks.get("language", "").partition("-")[0].lower(), "und")
    tags = [part for key, value in _tags(marks).items() for part in ("-metadata", f"{key}={value}")]
    after = before
    for _ in range(3):
        ffmpeg.run([
            "-i", source, "-map", "0:v:0", "-map", "0:a:0", "-c:v", "copy",
            "-af", f"{VOICE},volume={gain:.2f}dB,{LIMITER}", *ffmpeg.AUDIO, *ffmpeg.BITEXACT, *tags,
            "-metadata:s:a:0", f"language={spoken}", "-movflags", "+faststart", file,
        ])  # fmt: skip
        after = measure(file)
        missed = TARGET_LUFS - after.lufs
        if gain == 0.0 or abs(missed) <= TOLERANCE_LU:
            break
        gain += missed
    return after


def _tags(marks: Mapping[str, str]) -> dict[str, str]:
    marks = {key: CONTROL.sub(" ", value) for key, value in marks.items()}
    tags = {key: value for key, value in marks.items() if key in TAGS}
    others = [f"{key}: {value}" for key, value in marks.items() if key not in (*TAGS, "language")]
    if others:
        tags["description"] = "; ".join([*filter(None, [tags.get("description")]), *others])
    return tags


def _append_xmp(file: Path, marks: Mapping[str, str]) -> None:
    """A `uuid` box at the end of the file moves nothing that the index points to."""
    packet = XMP_BOX + xmp(marks).encode()
    with file.open("ab") as out:
        out.write((len(packet) + 8).to_bytes(4, "big") + b"uuid" + packet)


def xmp(marks: Mapping[str, str]) -> str:
    """The marks as an XMP packet: Dublin Core and IPTC Extension where they have a property, else our own namespace."""
    properties = ""
    for key, value in marks.items():
        text = escape(CONTROL.sub(" ", value))
        if key in ("title", "description"):
            text = f'<rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt>'
        elif key == "language":
            text = f"<rdf:Bag><rdf:li>{text}</rdf:li></rdf:Bag>"
        name = XMP_NAMES.get(key) or "likeness:" + re.sub(r"\W", "_", key)
        properties += f"<{name}>{text}</{name}>"
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmlns:likeness="urn:likeness:marks">{properties}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="r"?>'
    )


def _still(file: Path, seconds: float) -> Image.Image:
    """The frame shown at a moment, RGB."""
    still = ["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-pix_fmt", "rgb24", "-"]
    png = ffmpeg.run(["-ss", f"{seconds:.3f}", "-i", file, "-map", "0:v:0", *still]).out
    if not png:
        raise RenderFailed(f"The video shows nothing at {seconds:.2f} s. Try again.")
    return Image.open(io.BytesIO(png)).convert("RGB")
