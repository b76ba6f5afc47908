"""Backgrounds painted by a model at fal: FLUX.1 [dev], unless the operator names another that takes the same."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image, ImageOps, ImageStat

from pipeline.assets import Asset
from pipeline.calls import Answered
from pipeline.errors import BadOutput, ImageTooLarge, Moderated, ProviderMissing, UnreadableImage
from pipeline.settings import Vendor
from providers import photo_header
from providers.fal import queue
from providers.ledgered import Paid
from providers.wire import MIB, Reply

MODEL = "fal-ai/flux/dev"
# https://fal.ai/models/fal-ai/flux/dev, November 2026: 0.025 USD a megapixel, rounded up to whole ones.
MEGAPIXEL_USD = Decimal("0.025")
MEGAPIXEL = 1_000_000
MOST_UNITS = 100  # a bill for more than this is not one for a picture
STEP = 16  # FLUX paints in squares of this side: other sizes it rounds by itself
LEAST_SIDE = 256
MOST_PIXELS = 2 * 2**20  # above two megapixels FLUX repeats itself
SHORTFALL = 2  # a picture that has to be enlarged more than this is not the one that was asked for
MOST_BYTES = 40 * MIB
DOWNLOAD_S = 120.0
WORDING = (
    "{prompt}. An empty place without any people, as the background behind a presenter in a video:"
    " out of focus, shallow depth of field, soft even light, no text, no logos."
)


@dataclass(frozen=True, slots=True)
class Painting:
    """What decides the picture: it is painted at `size` and then made exactly `width` × `height`."""

    model: str
    prompt: str
    width: int
    height: int
    seed: int

    @property
    def size(self) -> tuple[int, int]:
        return paintable(self.width, self.height)


class FalBackground(Paid):
    """An empty place, blurred, without people."""

    name: ClassVar[str] = "fal"
    requires = ("KEY",)

    @classmethod
    def ready(cls, vendor: Vendor) -> None:
        super().ready(vendor)
        queue.ready(vendor)
        _price(vendor)

    def paint(self, prompt: str, *, width: int, height: int, seed: int) -> Asset:
        """A JPEG of the given size. Raises NotYet, ProviderError."""
        operation = PaintBackground(self.assets, self.vendor)
        asked = Painting(operation.model, WORDING.format(prompt=prompt.strip().rstrip(".")), width, height, seed)
        return self.once(operation, asked)


class PaintBackground(queue.Queued):
    name = "background"
    capability = "background"
    action: type = Painting
    answer: type[Asset] = Asset

    @property
    def model(self) -> str:
        return _model(self.vendor)

    def quote(self, action: Painting) -> Decimal:
        flat = _price(self.vendor)
        if flat is not None:
            return flat
        width, height = action.size
        return MEGAPIXEL_USD * math.ceil(width * height / MEGAPIXEL)

    def body(self, action: Painting) -> dict[str, Any]:
        width, height = action.size
        return {
            "prompt": action.prompt,
            "image_size": {"width": width, "height": height},
            "num_images": 1,
            "seed": action.seed,
            "enable_safety_checker": True,
            "output_format": "png",  # it is encoded once, by us
        }

    def read(self, action: Painting, output: Mapping[str, Any], reply: Reply) -> Answered[Asset]:
        images, unsafe = output.get("images"), output.get("has_nsfw_concepts")
        if isinstance(unsafe, list) and any(unsafe):
            raise Moderated("fal's safety checker blackened the picture.", charged=True)
        first = images[0] if isinstance(images, list) and images else None
        url = first.get("url") if isinstance(first, dict) else None
        if not isinstance(url, str):
            raise BadOutput("fal gave no picture.")
        with self.assets.scratch() as folder:
            given, made = folder / "given", folder / "background.jpg"
            self.wire.download(url, given, media=("image/",), max_bytes=MOST_BYTES, seconds=DOWNLOAD_S)
            facts = fit(given, made, action)
            kept = self.assets.keep(made, kind="background", media_type="image/jpeg", facts=facts)
        return Answered(kept, self._cost(reply))

    def _cost(self, reply: Reply) -> Decimal | None:
        """What fal says that it bills; None where it does not say, or at a price that we do not know."""
        if _price(self.vendor) is not None:
            return None
        units = _decimal(reply.headers.get("x-fal-billable-units", ""))
        return units * MEGAPIXEL_USD if units is not None and 0 < units <= MOST_UNITS else None


def paintable(width: int, height: int) -> tuple[int, int]:
    """The size to ask for: one that the model paints as it is, and that covers the frame.

    A frame of more pixels than the model paints well is painted smaller, in the same shape.
    """
    scale = max(1.0, LEAST_SIDE / min(width, height))
    wide, high = (math.ceil(side * scale / STEP) * STEP for side in (width, height))
    if wide * high <= MOST_PIXELS:
        return wide, high
    shrink = math.sqrt(MOST_PIXELS / (wide * high))
    return int(wide * shrink / STEP) * STEP, int(high * shrink / STEP) * STEP


def fit(given: Path, made: Path, action: Painting) -> dict[str, Any]:
    """Write the picture at exactly the frame's size: its middle, if the shape differs. Gives what was measured.

    Raises BadOutput.
    """
    try:
        header = photo_header.read(given)
        if header.width * SHORTFALL < action.size[0] or header.height * SHORTFALL < action.size[1]:
            raise BadOutput("fal gave a picture that is too small.", width=header.width, height=header.height)
        with Image.open(given, formats=list(photo_header.TAKEN)) as picture:
            painted = picture.convert("RGB")
    except (UnreadableImage, ImageTooLarge, OSError, SyntaxError, ValueError) as error:  # Pillow's, for a broken file
        raise BadOutput("fal gave a picture that cannot be read.", reason=type(error).__name__) from None
    frame = ImageOps.fit(painted, (action.width, action.height), Image.Resampling.LANCZOS)
    frame.save(made, "JPEG", quality=95, subsampling=0)
    return {
        "width": frame.width,
        "height": frame.height,
        "set": action.model,
        "luma": round(ImageStat.Stat(frame.convert("L")).mean[0], 1),
        "painted_width": header.width,
        "painted_height": header.height,
    }


def _model(vendor: Vendor) -> str:
    """Raises ProviderMissing."""
    found = vendor.variables.get("BACKGROUND_MODEL") or MODEL
    if not queue.MODEL_ID.fullmatch(found):
        raise ProviderMissing(f"{vendor.variable('BACKGROUND_MODEL')} is a model's id, such as {MODEL}")
    return found


def _price(vendor: Vendor) -> Decimal | None:
    """What the operator says that a picture costs; None where our own price is good. Raises ProviderMissing."""
    name, text = vendor.variable("PRICE_PER_IMAGE"), vendor.variables.get("PRICE_PER_IMAGE")
    if not text:
        if _model(vendor) != MODEL:
            raise ProviderMissing(f"{name} not set: what {_model(vendor)} costs is not known here")
        return None
    price = _decimal(text)
    if price is None or price < 0:
        raise ProviderMissing(f"{name} is a number of USD")
    return price


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
