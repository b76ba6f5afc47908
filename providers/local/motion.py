"""Everything that moves besides the mouth: blinks, brows, the head and the breath. One seed, one performance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from providers.local.mesh import POSE, Pose
from providers.local.visemes import CHANNELS, RATE, Phoneme, curves, pauses

Array = np.ndarray

BLINK_EVERY_S = (2.2, 4.6)
BLINK_DOWN_S, BLINK_UP_S = 0.08, 0.14
BLINK_FREE_S = 0.45  # no blink so near to a cut
EASE_S = 0.5  # the head starts and ends each scene in the middle, so that scenes cut without a jump
NOD_EVERY_S = 0.45
SENTENCE_PAUSE_S = 0.18


@dataclass(frozen=True, slots=True)
class HeadPose:
    """`dx`, `dy` and `sway` in eye distances, `roll` in degrees, `yaw` and `pitch` -1..1, `breath` 0..1."""

    dx: float = 0.0
    dy: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    breath: float = 0.0
    sway: float = 0.0


HEAD = ("dx", "dy", "roll", "yaw", "pitch", "breath", "sway")


@dataclass(frozen=True, slots=True)
class Performance:
    """`poses` (frames, 9) in the order of POSE, `heads` (frames, 7) in the order of HEAD."""

    poses: Array
    heads: Array

    def pose(self, frame: int) -> Pose:
        return Pose(*map(float, self.poses[frame]))

    def head(self, frame: int) -> HeadPose:
        return HeadPose(*map(float, self.heads[frame]))


def perform(spoken: Sequence[Phoneme], frames: int, fps: int, *, loudness: Array | None, seed: int) -> Performance:
    """`loudness` at visemes.RATE, 0..1."""
    times = np.arange(frames) / fps
    chance = np.random.default_rng(seed)
    length = frames / fps
    mouth = curves(spoken, times, loudness=loudness, frame_s=1 / fps)
    energy = np.zeros(frames)
    if loudness is not None and len(loudness):
        energy = np.interp(times, np.arange(len(loudness)) / RATE, loudness)
    silences = [(a, b) for a, b in pauses(spoken, length) if b - a > SENTENCE_PAUSE_S]
    nods = _nods(spoken, chance)
    poses = np.zeros((frames, len(POSE)))
    poses[:, : len(CHANNELS)] = mouth
    poses[:, POSE.index("blink")] = _lids(times, blinks(length, silences, chance))
    poses[:, POSE.index("brow")] = _brows(times, nods, energy, chance)
    poses[:, POSE.index("smile")] = 0.06 + 0.10 * _bumps(times, [((a + b) / 2, 0.25, 1.0) for a, b in silences])
    # the ends of a scene: mouth closed, eyes open
    edge = np.clip(np.minimum(times / 0.08, (times[-1] - times) / 0.08), 0, 1) if frames > 1 else np.zeros(frames)
    poses[:, : len(CHANNELS)] *= edge[:, None]
    return Performance(poses, _head(times, nods, silences, chance))


def hold(performance: Performance, face: Pose, head: HeadPose) -> Performance:
    """The same performance, played from another expression and another bearing of the head."""
    poses = performance.poses.copy()
    for name in ("brow", "smile"):
        column = POSE.index(name)
        poses[:, column] = np.clip(poses[:, column] + getattr(face, name), -1, 1)
    return Performance(poses, performance.heads + np.array([getattr(head, name) for name in HEAD]))


def blinks(length: float, silences: Sequence[tuple[float, float]], chance: np.random.Generator) -> list[float]:
    """When the lids begin to fall. People blink where they pause: a blink due near a pause moves there."""
    found: list[float] = []
    at = float(chance.uniform(0.7, 2.4))
    while at < length - BLINK_FREE_S - BLINK_DOWN_S - BLINK_UP_S:
        near = [
            a + 0.03
            for a, _ in silences
            if abs(a - at) < 0.6 and a + 0.03 > (found[-1] + 1.6 if found else BLINK_FREE_S)
        ]
        if near:
            at = min(near, key=lambda a: abs(a - at))
        if BLINK_FREE_S <= at < length - BLINK_FREE_S - BLINK_DOWN_S - BLINK_UP_S:
            found.append(at)
        at += float(chance.uniform(*BLINK_EVERY_S))
    return found


def _lids(times: Array, starts: Sequence[float]) -> Array:
    lids = np.zeros(len(times))
    for start in starts:
        down = np.clip((times - start) / BLINK_DOWN_S, 0, 1)
        up = np.clip(1 - (times - start - BLINK_DOWN_S - 0.02) / BLINK_UP_S, 0, 1)
        lids = np.maximum(lids, np.minimum(down, up * up * (3 - 2 * up)) * (times >= start))
    return lids


def _nods(spoken: Sequence[Phoneme], chance: np.random.Generator) -> list[tuple[float, float]]:
    """(time, strength) of the stressed vowels that the head follows."""
    found: list[tuple[float, float]] = []
    for phoneme in spoken:
        if phoneme.stress and (not found or phoneme.start - found[-1][0] > NOD_EVERY_S):
            strength = (1.0 if phoneme.stress == 1 else 0.6) * float(chance.uniform(0.35, 1.0))
            if chance.random() < 0.75:
                found.append((phoneme.start, strength))
    return found


def _brows(times: Array, nods: Sequence[tuple[float, float]], energy: Array, chance: np.random.Generator) -> Array:
    raised = [(at + 0.05, 0.16, strength) for at, strength in nods if strength > 0.55 and chance.random() < 0.55]
    return np.asarray(np.clip(0.75 * _bumps(times, raised) * (0.4 + energy), 0, 0.8))


def _head(
    times: Array,
    nods: Sequence[tuple[float, float]],
    silences: Sequence[tuple[float, float]],
    chance: np.random.Generator,
) -> Array:
    heads = {name: np.zeros(len(times)) for name in HEAD}
    for name, size in (("dx", 0.022), ("dy", 0.012), ("roll", 0.75), ("yaw", 0.42), ("pitch", 0.22), ("sway", 0.018)):
        for cycle, share in ((0.11, 0.6), (0.23, 0.4), (0.47, 0.2)):
            phase, rate = chance.uniform(0, 2 * np.pi), cycle * chance.uniform(0.8, 1.25)
            heads[name] += size * share * np.sin(2 * np.pi * rate * times + phase)
    heads["pitch"] += _bumps(times, [(at + 0.06, 0.11, 0.55 * s) for at, s in nods])
    heads["dy"] += _bumps(times, [(at + 0.06, 0.11, 0.034 * s) for at, s in nods])
    heads["roll"] += _bumps(times, [(at + 0.05, 0.18, 0.5 * s * chance.choice([-1, 1])) for at, s in nods])
    # a new sentence, a new posture
    for start, end in silences:
        step = _step((times - start) / max(0.45, end - start))
        for name, size in (("roll", 1.1), ("yaw", 0.5), ("dx", 0.02)):
            heads[name] += step * chance.uniform(-size, size)
    heads["roll"] = np.clip(heads["roll"], -2.6, 2.6)
    heads["yaw"] = np.clip(heads["yaw"], -1, 1)
    ease = _step(times / EASE_S) * _step((times[-1] - times) / EASE_S) if len(times) > 1 else np.zeros(len(times))
    for name in HEAD:
        heads[name] *= ease
    heads["breath"] = 0.5 - 0.5 * np.cos(2 * np.pi * times / 3.8)
    return np.stack([heads[name] for name in HEAD], axis=1)


def _bumps(times: Array, events: Sequence[tuple[float, float, float]]) -> Array:
    """Bells of (time, width, size): quick up, slow down."""
    total = np.zeros(len(times))
    for at, width, size in events:
        away = times - at
        total += size * np.exp(-0.5 * (away / np.where(away < 0, 0.6 * width, 1.3 * width)) ** 2)
    return total


def _step(values: Array) -> Array:
    clipped = np.clip(values, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped))
