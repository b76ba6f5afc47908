"""Photos: decoded inside limits, and measured before they may become an avatar."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps

from pipeline.assets import Asset
from pipeline.errors import (
    FaceBlurred,
    FaceCutOff,
    FaceOverexposed,
    FaceTooDark,
    FaceTooSmall,
    FaceTurned,
    ImageTooLarge,
    NoFace,
    PersonTooSmall,
    SeveralFaces,
    UnreadableImage,
)
from pipeline.ports import AssetStore, FaceReport
from providers import photo_header
from providers.local import faces

MOST_BYTES = 25 * 1024 * 1024

# Measured on good portraits and on ones spoilt on purpose: the good ones are several times away from each limit.
SURE_FACE = 0.8  # presence; good photos 1.0, a cat 0.05
SECOND_FACE = 0.4  # share of the largest face's eye distance from which another person counts
EYES_REJECT, EYES_WARN, EYES_1080P = 24.0, 40.0, 100.0  # px between the eye centres
YAW_REJECT, YAW_WARN = 0.40, 0.25
ROLL_WARN = 20.0  # degrees; the avatar is turned upright
SHARPNESS_REJECT = 10.0  # variance of the Laplacian of the face at 200 px; blurred 2, soft but good 41, good 240-830
LUMA_LOW, LUMA_HIGH, CLIPPED_REJECT = 50.0, 215.0, 0.25
PERSON_REJECT = 0.08
FACE_SIZE = 200


class LocalPhoto:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def inspect(self, photo: Asset) -> FaceReport:
        """Measured in the photo's own pixels, turned as its orientation says."""
        with self.assets.open(photo) as file:
            picture = decode(file)
        return report(picture, the_face(picture))


def decode(file: Path) -> np.ndarray:
    """The photo upright, in sRGB, on white where it is transparent: RGB uint8 (h, w, 3).

    Raises UnreadableImage, ImageTooLarge, AnimatedImage.
    """
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise ImageTooLarge(
            f"The file has {size / 2**20:.1f} MiB; at most {MOST_BYTES >> 20} MiB are taken. Save it as a JPEG.",
            bytes=size, limit=MOST_BYTES,
        )  # fmt: skip
    photo_header.read(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of harmless metadata
            with Image.open(file, formats=list(photo_header.TAKEN)) as picture:
                picture.load()
                return np.ascontiguousarray(_in_srgb(ImageOps.exif_transpose(picture)))
    except (OSError, SyntaxError, ValueError, EOFError, KeyError) as error:  # Pillow's words for damaged data
        raise UnreadableImage(
            "The picture is damaged and cannot be decoded. Open it in a photo program and save it again as JPEG.",
            reason=type(error).__name__,
        ) from None


def the_face(picture: np.ndarray) -> faces.Face:
    """The one face. Raises NoFace, SeveralFaces."""
    found = faces.find(picture)
    sure = [face for face in found if face.presence >= SURE_FACE]
    if not sure:
        best = max((face.presence for face in found), default=0.0)
        raise NoFace(
            "No face was found. Use a photo of one person, from the front, with the whole face in the picture.",
            presence=round(best, 3), needed=SURE_FACE,
        )  # fmt: skip
    largest, *others = sure
    beside = [face for face in others if face.eye_distance > SECOND_FACE * largest.eye_distance]
    if beside:
        raise SeveralFaces(
            f"{len(beside) + 1} faces were found. Use a photo that shows one person only, or crop it to one.",
            faces=len(beside) + 1,
        )
    return largest


def report(picture: np.ndarray, face: faces.Face) -> FaceReport:
    """Measure the face against the limits. Raises an UnusableFace with the value and the limit."""
    height, width = picture.shape[:2]
    inside = ((face.points >= -1) & (face.points <= (width, height))).all()
    if not inside:
        raise FaceCutOff(
            "The face is cut off by the picture's edge. Use a photo with the whole face in it.", inside=False
        )
    eyes = face.eye_distance
    if eyes < EYES_REJECT:
        raise FaceTooSmall(
            f"The face is too small: {eyes:.0f} px between the eyes, at least {EYES_REJECT:.0f} are needed. "
            "Use a larger photo, or one taken closer.", eye_distance=round(eyes, 1), limit=EYES_REJECT,
        )  # fmt: skip
    if abs(face.yaw) > YAW_REJECT:
        raise FaceTurned(
            f"The head is turned too far to the side ({abs(face.yaw):.2f}, at most {YAW_REJECT:.2f}). "
            "Use a photo that looks into the camera.", yaw=round(face.yaw, 3), limit=YAW_REJECT,
        )  # fmt: skip
    sharpness, luma, clipped = _light(picture, face)
    if luma < LUMA_LOW:
        raise FaceTooDark(
            f"The face is too dark: mean brightness {luma:.0f}, at least {LUMA_LOW:.0f} is needed. "
            "Use a photo with light on the face.", luma=round(luma, 1), limit=LUMA_LOW,
        )  # fmt: skip
    if luma > LUMA_HIGH or clipped > CLIPPED_REJECT:
        raise FaceOverexposed(
            f"The face is overexposed: mean brightness {luma:.0f} (at most {LUMA_HIGH:.0f}), {clipped:.0%} burnt out "
            f"(at most {CLIPPED_REJECT:.0%}). Use a photo with softer light.",
            luma=round(luma, 1), limit=LUMA_HIGH, clipped=round(clipped, 3), clipped_limit=CLIPPED_REJECT,
        )  # fmt: skip
    if sharpness < SHARPNESS_REJECT:
        raise FaceBlurred(
            f"The face is blurred: sharpness {sharpness:.1f}, at least {SHARPNESS_REJECT:.0f} is needed. "
            "Use a photo that is in focus.", sharpness=round(sharpness, 1), limit=SHARPNESS_REJECT,
        )  # fmt: skip
    person = float((faces.person_mask(picture) > 0.5).mean())
    if person < PERSON_REJECT:
        raise PersonTooSmall(
            f"The person fills only {person:.0%} of the picture, at least {PERSON_REJECT:.0%} is needed. "
            "Use a photo taken closer, or crop it.",
            person=round(person, 3), limit=PERSON_REJECT,
        )  # fmt: skip
    return FaceReport(
        width, height, round(eyes, 1), round(face.yaw, 3), round(face.roll, 1), round(sharpness, 1), round(luma, 1),
        tuple(_warnings(face, sharpness)),
    )  # fmt: skip


def _warnings(face: faces.Face, sharpness: float) -> list[str]:
    said = []
    if face.eye_distance < EYES_WARN:
        said.append(f"The face is small ({face.eye_distance:.0f} px between the eyes): the video will be soft.")
    elif face.eye_distance < EYES_1080P:
        said.append(
            f"At 1080p the face will be soft: {face.eye_distance:.0f} px between the eyes, {EYES_1080P:.0f} are sharp."
        )
    if abs(face.yaw) > YAW_WARN:
        said.append("The head is turned: a photo from the front moves better.")
    if abs(face.roll) > ROLL_WARN:
        said.append(f"The head is tilted by {abs(face.roll):.0f} degrees: it will be turned upright.")
    if sharpness < 3 * SHARPNESS_REJECT:
        said.append("The face is not quite sharp.")
    return said


def _light(picture: np.ndarray, face: faces.Face) -> tuple[float, float, float]:
    """Sharpness, mean luma and clipped share of the face, at one size for all photos."""
    low, high = np.maximum(face.points.min(axis=0), 0), face.points.max(axis=0)
    (left, top), (right, bottom) = low.astype(int), np.ceil(high).astype(int)
    smaller = right - left > FACE_SIZE
    crop = cv2.resize(
        picture[top:bottom, left:right],
        (FACE_SIZE, FACE_SIZE),
        interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC,
    )
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var()), float(grey.mean()), float((grey >= 250).mean())


def _in_srgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):  # 16 bits of grey, which Pillow's own conversion would clip
        return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if picture.has_transparency_data:
        with_alpha = picture.convert("RGBA")
        picture = Image.new("RGB", picture.size, "white")
        picture.paste(with_alpha, mask=with_alpha)
        return picture
    if (profile := picture.info.get("icc_profile")) and picture.mode in ("RGB", "CMYK", "L"):
        try:
            with_profile = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                picture, with_profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            return converted or picture.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile is no reason to refuse the photo
    return picture.convert("RGB")
