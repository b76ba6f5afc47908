"""The gallery asks for what the API takes, and for each route that it names."""

import io
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import contact_sheet
from benchmarks.exhibits import EXHIBITS, Exhibit
from providers.local import ffmpeg
from schemas.contracts import understand
from tests.api import payload

PHOTO = "ast_01jd3v9k7m5q8r2t4w6x8y0z1a"


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda each: each.route)
def test_each_exhibit_takes_its_route(exhibit: Exhibit) -> None:
    asked = dict(exhibit.asked(PHOTO))
    if "storyboard" in asked:
        asked["script"] = None
    taken = {name: value for name, value in payload("output.generate/1", **asked).items() if value is not None}
    assert understand(taken, "outputs").route == exhibit.route


@pytest.mark.parametrize("size", ["320x180", "180x320", "240x240"])
def test_a_contact_sheet_is_small_and_shows_the_whole_video(tmp_path: Path, size: str) -> None:
    """The video goes from black to white; so do the frames of its sheet."""
    source = f"color=black:s={size}:r=25:d=2,fade=in:st=0:d=2:color=white"
    ffmpeg.run(["-f", "lavfi", "-i", f"{source},negate", *ffmpeg.video(25), tmp_path / "video.mp4"])
    contact_sheet.sheet(tmp_path / "video.mp4", tmp_path / "sheet.jpg")
    data = (tmp_path / "sheet.jpg").read_bytes()
    assert len(data) < 150_000
    with Image.open(io.BytesIO(data)) as page:
        first, last = (page.convert("L").getpixel(at) for at in ((60, 60), (page.width - 60, page.height - 60)))
    assert (first, last) != (255, 255)
    assert abs(first - last) > 150
