"""A video at a glance: frames at even distances with their moments, as one JPEG."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from providers.local import ffmpeg

MOST_BYTES = 150_000
GAP, STRIP = 6, 20
PAPER, INK = "#ffffff", "#333a44"


def sheet(video: Path, out: Path) -> None:
    """Three rows of three for wide videos, two rows of five for tall ones, three of four for square ones."""
    track = ffmpeg.probe(video).video
    assert track
    shape = track.width / track.height
    columns, rows, width = (3, 3, 320) if shape > 1.2 else (5, 2, 190) if shape < 0.8 else (4, 3, 236)
    size = width, round(width / shape)
    page = Image.new("RGB", (GAP + columns * (width + GAP), rows * (size[1] + STRIP)), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for number in range(columns * rows):
        moment = track.end * (number + 0.5) / (columns * rows)
        x, y = GAP + number % columns * (width + GAP), number // columns * (size[1] + STRIP)
        page.paste(_still(video, moment, size), (x, y + STRIP))
        draw.text((x, y + STRIP - 4), f"{moment:.2f} s", fill=INK, font=font, anchor="ls")
    keep(page, out)


def keep(picture: Image.Image, out: Path) -> None:
    """As good a JPEG as the limit allows."""
    for quality in range(88, 30, -6):
        sink = io.BytesIO()
        picture.convert("RGB").save(sink, "JPEG", quality=quality, optimize=True, progressive=True)
        if sink.tell() < MOST_BYTES:
            break
    out.write_bytes(sink.getvalue())


def _still(video: Path, moment: float, size: tuple[int, int]) -> Image.Image:
    shown = ["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-pix_fmt", "rgb24", "-"]
    png = ffmpeg.run(["-ss", f"{moment:.3f}", "-i", video, "-map", "0:v:0", *shown]).out
    return Image.open(io.BytesIO(png)).convert("RGB").resize(size, Image.Resampling.LANCZOS)
