"""The identity's picture: the person upright and cut out, and on a plain background with the mouth closed."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor

from pipeline.assets import Asset
from pipeline.ports import AssetStore, Neutral
from providers.local import matte
from providers.local.faces import CHIN, FOREHEAD, Array, Face
from providers.local.mesh import Pose
from providers.local.photo import decode, the_face
from providers.local.portrait import Portrait

EYES_LEAST, EYES_MOST = 170.0, 260.0  # px between the eyes in the cutout: what 1080p needs, and not more than it shows
ABOVE, BELOW, BESIDE = 1.5, 3.4, 2.3  # face heights kept around the middle of the face
IMAGE_SIZE, IMAGE_FACE, IMAGE_HEIGHT = 1024, 0.40, 0.45  # px; the face's share of the picture's height, and its middle
SIDE_FADE = 0.22  # face heights
ENLARGED = 1.3  # from here on a photo is cleaned and sharpened


class LocalNeutral:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def neutral(self, photo: Asset, *, background: str) -> Neutral:
        """`cutout` is a PNG with alpha, its mouth as in the photo; `image` a square PNG of 1024 px."""
        with self.assets.open(photo) as file:
            picture = decode(file)
        rgba, face = cut_out(picture, the_face(picture))
        plain = on_plain(rgba, face, background)
        with self.assets.scratch() as folder:
            image = self._keep(folder / "neutral.png", plain, "neutral_image", photo)
            cutout = self._keep(folder / "cutout.png", rgba, "cutout", photo)
        return Neutral(image, cutout)

    def _keep(self, file: Path, pixels: Array, kind: str, photo: Asset) -> Asset:
        Image.fromarray(pixels).save(file, compress_level=4)
        height, width = pixels.shape[:2]
        return self.assets.keep(
            file, kind=kind, media_type="image/png", facts={"width": width, "height": height}, made_from=[photo]
        )


def person(neutral: Neutral, assets: AssetStore) -> tuple[Array, Face]:
    """The cutout (RGBA) and the face in it; from a vendor's neutral image the person is cut out here."""
    if neutral.cutout is None:
        with assets.open(neutral.image) as file:
            picture = decode(file)
        return cut_out(picture, the_face(picture))
    with assets.open(neutral.cutout) as file, Image.open(file) as stored:
        rgba = np.array(stored.convert("RGBA"))
    return rgba, the_face(np.ascontiguousarray(rgba[..., :3]))


def cut_out(picture: Array, face: Face) -> tuple[Array, Face]:
    """The person upright with alpha, RGBA uint8, and the face in it."""
    scale = min(max(face.eye_distance, EYES_LEAST), EYES_MOST) / face.eye_distance
    matrix, size = _placement(picture, face, scale)
    turned = _turned(picture, matrix, size, scale)
    upright = face.moved(matrix)
    if scale > ENLARGED:
        turned = enhanced(turned, scale)
    turned = _exposed(turned, upright)
    mask = matte.settled(turned, matte.rough(turned, upright))  # upright: the models know no lying people
    alpha = matte.refine(turned, mask, upright)
    there = cv2.warpAffine(np.full(picture.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_LINEAR)
    alpha = np.minimum(alpha, cv2.erode(there, np.ones((3, 3), np.uint8), borderValue=255))
    bottom = _last_whole_row(alpha, there, upright)
    alpha = _sides_faded(alpha, there, upright)
    turned, alpha = turned[:bottom], alpha[:bottom]
    return np.dstack([matte.decontaminate(turned, alpha), alpha]), upright


def on_plain(rgba: Array, face: Face, background: str) -> Array:
    """The neutral picture: mouth at rest, on one colour, square, RGB."""
    portrait = Portrait(rgba, face)
    portrait.draw(Pose())
    return framed(portrait.picture(), face, background, IMAGE_SIZE, IMAGE_SIZE, IMAGE_FACE, IMAGE_HEIGHT)


def framed(rgba: Array, face: Face, background: str, width: int, height: int, share: float, middle: float) -> Array:
    """The person on a plain colour, RGB (height, width): the face fills `share` of the height around `middle`.

    Where the cutout ends above the picture's bottom, it is shown larger or lower instead.
    """
    forehead, chin = face.points[FOREHEAD], face.points[CHIN]
    tall, centre = np.linalg.norm(chin - forehead), (forehead + chin) / 2
    below = rgba.shape[0] - centre[1] - 2
    scale = max(share * height / tall, (1 - min(middle + 0.06, 0.55)) * height / below)
    y = max(middle * height, height - below * scale)
    matrix = np.array([[scale, 0, width / 2 - scale * centre[0]], [0, scale, y - scale * centre[1]]])
    if scale < 0.7:
        rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        matrix[:, :2] = np.eye(2)
    alpha = rgba[..., 3:].astype(np.float32) / 255
    layer = np.dstack([rgba[..., :3] * alpha, alpha]).astype(np.float32)
    placed = cv2.warpAffine(layer, matrix, (width, height), flags=cv2.INTER_LINEAR)
    colour = np.array(ImageColor.getrgb(background)[:3], np.float32)
    shade = 1.03 - 0.09 * np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 1.5
    return np.asarray((placed[..., :3] + colour * shade * (1 - placed[..., 3:])).clip(0, 255).astype(np.uint8))


def enhanced(picture: Array, scale: float) -> Array:
    """An enlarged photo without its noise, its edges crisper, with a little grain in place of the lost texture."""
    yuv = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    luma = cv2.bilateralFilter(yuv[..., 0], 0, 14, 0.8 * scale).astype(np.float32)
    soft = cv2.GaussianBlur(luma, (0, 0), 0.75 * scale)
    detail = np.asarray(0.65 * (luma - soft), np.float32).clip(-14, 14)
    noise = np.empty(luma.shape, np.float32)
    np.random.default_rng(0).standard_normal(dtype=np.float32, out=noise)
    grain = cv2.GaussianBlur(noise, (0, 0), 0.8)
    chroma = cv2.GaussianBlur(yuv[..., 1:], (0, 0), 0.5 * scale)
    sharp = (luma + detail + 3.2 * grain * np.clip(luma / 120, 0.2, 1)).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(np.dstack([sharp, chroma]), cv2.COLOR_YCrCb2RGB))


def _placement(picture: Array, face: Face, scale: float) -> tuple[Array, tuple[int, int]]:
    """The turn and scale that put the face upright, and the size of what is kept of the photo."""
    height, width = picture.shape[:2]
    centre = (face.points[FOREHEAD] + face.points[CHIN]) / 2
    tall = float(np.linalg.norm(face.points[CHIN] - face.points[FOREHEAD])) * scale
    matrix = cv2.getRotationMatrix2D(tuple(map(float, centre)), face.roll, scale)
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
    low = np.maximum(corners.min(axis=0), centre - tall * np.array([BESIDE, ABOVE]))
    high = np.minimum(corners.max(axis=0), centre + tall * np.array([BESIDE, BELOW]))
    matrix[:, 2] -= low
    return matrix, (int(high[0] - low[0]) // 2 * 2, int(high[1] - low[1]) // 2 * 2)


def _turned(picture: Array, matrix: Array, size: tuple[int, int], scale: float) -> Array:
    if scale < 0.7:  # warpAffine does not average
        shrink = 1.2 * scale
        smaller = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        matrix = np.hstack([matrix[:, :2] / shrink, matrix[:, 2:]])
        return cv2.warpAffine(smaller, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)


def _exposed(picture: Array, face: Face) -> Array:
    """A dark or a pale face is brought a little towards usual brightness; no relighting."""
    (left, top), (right, bottom) = face.points.min(axis=0).astype(int).clip(0), face.points.max(axis=0).astype(int)
    luma = float(cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_RGB2GRAY).mean())
    wanted = float(np.clip(luma, 118, 172))
    gamma = float(np.clip(np.log(wanted / 255) / np.log(luma / 255), 0.7, 1.3))
    if abs(gamma - 1) < 0.02:
        return picture
    return np.asarray(cv2.LUT(picture, (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)))


def _sides_faded(alpha: Array, there: Array, face: Face) -> Array:
    """Where a side of the photo cuts the person off, the person fades: the frame may be wider than the photo."""
    reach = SIDE_FADE * float(np.ptp(face.points[:, 1]))
    xs = np.arange(alpha.shape[1])
    whole = there > 250
    left, right = whole.argmax(axis=1)[:, None], alpha.shape[1] - 1 - whole[:, ::-1].argmax(axis=1)[:, None]
    ramp = np.clip(np.minimum(xs - left, right - xs) / reach, 0, 1)
    return (alpha * (ramp * ramp * (3 - 2 * ramp))).astype(np.uint8)


def _last_whole_row(alpha: Array, there: Array, face: Face) -> int:
    """Turning a photo slants its lower edge: the cutout ends where the person first meets it."""
    height = alpha.shape[0]
    ends = height - 1 - (there > 250)[::-1].argmax(axis=0)
    lower_edge = np.abs(np.gradient(ends.astype(float))) < 1.0  # steeper, it is a side
    person = alpha[(ends - 3).clip(0), np.arange(len(ends))] > 128
    met = ends[lower_edge & person & (ends > face.points[CHIN, 1])]
    return int(met.min() if len(met) else height) // 2 * 2
