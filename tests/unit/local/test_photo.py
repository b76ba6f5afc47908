import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.errors import (
    AnimatedImage,
    ImageTooLarge,
    NoFace,
    ProviderMissing,
    SeveralFaces,
    UnreadableImage,
    UnusableFace,
)
from providers.local import photo
from providers.local.models import model
from providers.local.photo import decode, report, the_face
from tests.portraits import astronaut


def saved(picture, folder, name="photo.png", **options):
    file = folder / name
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, **options)
    return file


GRADIENT = np.dstack([np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))] * 3)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_usual_formats_are_read(tmp_path, name):
    assert np.abs(decode(saved(GRADIENT, tmp_path, name, quality=95)).astype(int) - GRADIENT).mean() < 3


def test_a_phone_held_sideways_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(saved(GRADIENT, tmp_path, "a.jpg", exif=exif)).shape == (64, 48, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    deep = Image.fromarray(GRADIENT[..., 0].astype(np.uint16) * 256)
    picture = deep if mode == "I;16" else Image.fromarray(GRADIENT).convert(mode)
    made = decode(saved(picture, tmp_path, "a.jpg" if mode == "CMYK" else "a.png"))
    assert made.shape == (48, 64, 3)
    assert made[:, -4:].mean() > made[:, :4].mean() + 100


def test_what_is_transparent_becomes_white(tmp_path):
    clear = np.zeros((20, 20, 4), np.uint8)
    assert (decode(saved(clear, tmp_path)) == 255).all()


def test_other_colour_spaces_become_srgb_and_broken_profiles_do_no_harm(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, icc in (("fine.png", profile), ("broken.png", b"not a profile")):
        assert np.abs(decode(saved(GRADIENT, tmp_path, name, icc_profile=icc)).astype(int) - GRADIENT).max() <= 2


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
def test_an_animation_is_refused_and_a_file_that_could_be_one_is_not(tmp_path, name):
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue", "green")]
    with pytest.raises(AnimatedImage, match="one still picture"):
        decode(saved(frames[0], tmp_path, name, save_all=True, append_images=frames[1:]))
    assert decode(saved(frames[0], tmp_path, name, save_all=True)).shape == (20, 30, 3)


def test_what_cameras_keep_beside_a_photo_makes_it_no_animation(tmp_path):
    photo, depth = Image.fromarray(GRADIENT), Image.new("RGB", (16, 12))
    file = saved(photo, tmp_path, "a.mpo", save_all=True, append_images=[depth])
    assert decode(file.rename(tmp_path / "a.jpg")).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "content", [b"", b"just a text, named as a photo", b"GIF89a" + bytes(100), b"\xff\xd8\xff\xe0" + bytes(50)]
)
def test_what_is_no_photo_is_refused(tmp_path, content):
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(UnreadableImage):
        decode(file)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_a_cut_off_file_is_refused(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    whole = saved(noise, tmp_path, name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UnreadableImage):
        decode(tmp_path / name)


def test_damage_in_the_middle_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    data = bytearray(saved(noise, tmp_path).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (tmp_path / "photo.png").write_bytes(data)
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "photo.png")


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    file = saved(Image.new("1", (9000, 9000)), tmp_path)
    with pytest.raises(ImageTooLarge):
        decode(file)


def test_a_file_with_too_many_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(photo, "MOST_BYTES", 1000)
    with pytest.raises(ImageTooLarge, match="at most"):
        decode(saved(np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8), tmp_path))


def test_missing_models_are_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("LIKENESS_MODELS_DIR", str(tmp_path))
    with pytest.raises(ProviderMissing, match=r"python -m providers\.local\.models"):
        model("face_detector.tflite")


# --- faces ---


def test_a_good_portrait_is_measured():
    found = report(astronaut(), the_face(astronaut()))
    assert (found.width, found.height) == (512, 512)
    assert 40 < found.eye_distance < 46
    assert abs(found.yaw) < 0.1
    assert 1 < found.roll < 5
    assert found.sharpness > 30
    assert 120 < found.luma < 190
    assert any("1080p" in warning for warning in found.warnings)


def blurred(picture):
    return cv2.GaussianBlur(picture, (0, 0), 3)


SPOILT = {
    "face_too_small": (lambda p: cv2.resize(p, (128, 128), interpolation=cv2.INTER_AREA), "too small"),
    "face_too_dark": (lambda p: (p * 0.15).astype(np.uint8), "too dark"),
    "face_overexposed": (lambda p: np.clip(p * 1.6 + 40, 0, 255).astype(np.uint8), "overexposed"),
    "face_blurred": (blurred, "blurred"),
    "face_cut_off": (lambda p: np.ascontiguousarray(p[92:]), "cut off"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_an_unusable_face_is_refused_with_what_to_do(kind):
    spoil, words = SPOILT[kind]
    picture = spoil(astronaut())
    with pytest.raises(UnusableFace, match=words) as refused:
        report(picture, the_face(picture))
    assert refused.value.code == kind
    assert refused.value.details
    assert "Use" in refused.value.message


def test_no_face_and_several_faces():
    with pytest.raises(NoFace):
        the_face(np.ascontiguousarray(astronaut()[250:]))
    with pytest.raises(SeveralFaces, match="2 faces"):
        the_face(np.hstack([astronaut(), astronaut()]))


@pytest.mark.parametrize("quarter", [1, 3])
def test_a_portrait_lying_on_its_side_is_found_and_said_to_be_tilted(quarter):
    picture = np.ascontiguousarray(np.rot90(astronaut(), quarter))
    found = report(picture, the_face(picture))
    assert abs(found.roll) == pytest.approx(90, abs=8)
    assert any("tilted" in warning for warning in found.warnings)
