"""The person cut out: a rough mask refined along the picture's own edges, edge colours freed of the old backdrop."""

import cv2
import numpy as np

from providers.local.faces import Array, Face, person_mask

GUIDED_RADIUS, GUIDED_EPSILON = 90, 1e-3  # radius is height / 90
STRETCH = (0.12, 0.92)
REDUCED = 4  # times smaller, the picture in which edge colours are spread
CUT_SIZE = 400  # px, the longer side of the picture in which colours decide what belongs to the person
HEAD_CROP = 3.4  # side of the second look, in face heights: the mask model sees 256 px only


def rough(picture: Array, face: Face) -> Array:
    """The model's mask, with a second, closer look at the head. (h, w) float32."""
    mask = person_mask(picture)
    tall = float(np.ptp(face.points[:, 1]))
    centre = (face.points.min(axis=0) + face.points.max(axis=0)) / 2
    half = HEAD_CROP * tall / 2
    height, width = picture.shape[:2]
    left, top = (max(0, int(v)) for v in centre - half)
    right, bottom = min(width, int(centre[0] + half)), min(height, int(centre[1] + half))
    if (right - left) * (bottom - top) > 0.8 * width * height:
        return mask
    close = person_mask(np.ascontiguousarray(picture[top:bottom, left:right]))
    ys, xs = np.mgrid[top:bottom, left:right]
    inside = 1 - np.maximum(np.abs(xs - centre[0]), np.abs(ys - centre[1])) / half
    trust = np.clip(inside * 4, 0, 1).astype(np.float32)
    mask[top:bottom, left:right] += trust * (close - mask[top:bottom, left:right])
    return mask


def settled(picture: Array, mask: Array) -> Array:
    """The mask with its doubtful band decided by colour (GrabCut): the model's edge wavers by 1/256 of the picture."""
    height, width = mask.shape
    scale = min(1.0, CUT_SIZE / max(height, width))
    size = round(width * scale), round(height * scale)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    belief = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    band = np.ones((7, 7), np.uint8)
    sure = cv2.erode((belief > 0.9).astype(np.uint8), band, borderValue=1)
    never = cv2.erode((belief < 0.1).astype(np.uint8), band, borderValue=1)
    labels = np.where(belief > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[sure > 0], labels[never > 0] = cv2.GC_FGD, cv2.GC_BGD
    if not sure.any() or not never.any():
        return mask
    cv2.setRNGSeed(0)  # its colour models start from random ones
    cv2.grabCut(small, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    person = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    person = cv2.GaussianBlur(person, (0, 0), 0.8)
    return np.asarray(cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR))


def refine(picture: Array, mask: Array, face: Face) -> Array:
    """Alpha uint8 (h, w) for the picture: follows its edges, one piece, without holes."""
    height = mask.shape[0]
    guide = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    radius = max(2, height // GUIDED_RADIUS)
    alpha = _guided(guide, mask, radius)
    low, high = STRETCH
    alpha = np.clip((alpha - low) / (high - low), 0, 1)
    near = cv2.dilate((mask > 0.25).astype(np.uint8), np.ones((2 * radius + 1,) * 2, np.uint8))
    alpha *= cv2.GaussianBlur(near.astype(np.float32), (0, 0), radius / 3)
    solid: Array = (alpha > 0.5).astype(np.uint8)
    # closing looks beyond the border and would dig a notch there
    pad = 4 * radius
    wide = cv2.copyMakeBorder(solid, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(
        wide, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    )
    solid = closed[pad:-pad, pad:-pad]
    solid = _filled(_piece(solid, face))
    around = cv2.dilate(solid, np.ones((2 * radius + 1,) * 2, np.uint8))
    core = cv2.erode(solid, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2), borderValue=1)
    alpha = np.maximum(alpha, cv2.GaussianBlur(core.astype(np.float32), (0, 0), radius / 3)) * around
    return np.asarray((alpha.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def decontaminate(picture: Array, alpha: Array) -> Array:
    """Colours of the half-transparent edge, and of everything outside, taken from the solid person nearby."""
    height, width = alpha.shape
    reach = max(2.0, height / GUIDED_RADIUS / REDUCED)
    small: Array = cv2.resize(picture, (width // REDUCED, height // REDUCED), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    solid = cv2.resize((alpha > 250).astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA)
    solid = cv2.erode((solid > 0.99).astype(np.float32), np.ones((3, 3), np.uint8), borderValue=1)
    filled: Array = np.zeros_like(small)
    known: Array = np.zeros_like(solid)
    for sigma in (reach * 0.6, reach * 1.5, reach * 5):  # near colours first, farther ones where there are none
        weight = cv2.GaussianBlur(solid, (0, 0), sigma)
        spread = cv2.GaussianBlur(small * solid[..., None], (0, 0), sigma) / np.maximum(weight, 1e-4)[..., None]
        take = np.clip(weight * 20, 0, 1) * (1 - known)
        filled = filled + spread * take[..., None]
        known = known + take
    filled = filled + small.mean(axis=(0, 1)) * (1 - known)[..., None]
    outside: Array = cv2.resize(filled.clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    own = cv2.LUT(alpha, (np.clip((np.arange(256) - 150) / 105, 0, 1) * 255).astype(np.uint8))
    kept = cv2.multiply(picture, cv2.merge([own] * 3), scale=1 / 255)
    return np.asarray(cv2.add(kept, cv2.multiply(outside, cv2.merge([255 - own] * 3), scale=1 / 255)))


def _guided(guide: Array, mask: Array, radius: int) -> Array:
    """The guided filter of He, Sun and Tang (2010)."""

    def mean(values: Array) -> Array:
        return np.asarray(cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REPLICATE))

    mean_guide, mean_mask = mean(guide), mean(mask)
    slope = (mean(guide * mask) - mean_guide * mean_mask) / (mean(guide * guide) - mean_guide**2 + GUIDED_EPSILON)
    return mean(slope) * guide + mean(mean_mask - slope * mean_guide)


def _piece(solid: Array, face: Face) -> Array:
    """The connected part that holds most of the face."""
    _, labels = cv2.connectedComponents(solid)
    height, width = solid.shape
    xs, ys = (face.points.round().astype(int)).T
    inside = (xs >= 0) & (ys >= 0) & (xs < width) & (ys < height)
    found = labels[ys[inside], xs[inside]]
    found = found[found > 0]
    return (labels == np.bincount(found).argmax()).astype(np.uint8) if len(found) else solid


def _filled(solid: Array) -> Array:
    """Without holes: outside is only what the border above or beside reaches."""
    around = cv2.copyMakeBorder(1 - solid, 1, 0, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(around)
    return (labels[1:, 1:-1] != labels[0, 0]).astype(np.uint8)
