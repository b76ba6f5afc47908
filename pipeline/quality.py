"""Whether a finished video may be published: what was measured on the file, against what must hold.

Every limit is here and argued; an inspector measures and judges nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.frame import Frame

GROUP_S = 2.0  # a player can begin, and an editor can cut, at least so often
TARGET_LUFS, TOLERANCE_LU = -16.0, 1.0
CEILING_DBTP = -1.0
SAMPLE_RATE = 48_000
DRIFT_S = 0.1  # from about here people see that sound and picture do not end together
BLACK_S = 0.1  # shorter is a cut that nobody sees
FADE_S = 0.3  # before a scene's first picture, and after it
FROZEN_S = 1.0
MUTE_S = 0.4  # of what should be heard and is not; stops and whispered ends of words are shorter
BREATH_S = 0.1  # between words, from which they are said apart
UNREAD_S = 0.1  # of what is said before its caption is there, or after it has gone
UNWRITTEN_S = 0.5  # of what is heard and not captioned; a breath is shorter
AROUND_S = 0.3  # a vendor's word times are this exact
SLOPE_S = 0.15  # lips open before the first sound of a word and close after its last
REST_S = 0.06  # what must be left of a pause then for a look at lips at rest
# Lips that move by less than this share of the eyes' distance are still; landmarks tremble by 0.01. Measured from 360p
# to 720p: talking lips are still for at most 1.0 s, closed ones while the head moves for more than 3 s.
STIRRED = 0.02
STILL_S = 2.0
BRIEF_S = 1.0  # in which somebody may only have said "mm"
OPEN = 0.10  # of the eyes' distance, beyond which lips at rest are not closed, if they are no less open in speech
RESTLESS = 0.7  # of how the lips move in speech: what they do in pauses, too, has nothing to do with it
FACELESS_S = 0.7  # a face may be missed for two looks, not for longer
LEAST_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Stretch:
    """Seconds of the video."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start:.2f}-{self.end:.2f} s"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the timeline says. `words` is when something is said, `captions` when one is to be read.

    `hidden` is when no face is to be seen (a cutaway, a title card): there a picture may stand still, too.
    """

    frame: Frame
    frames: int
    scenes: tuple[Stretch, ...]
    words: tuple[Stretch, ...]
    captions: tuple[Stretch, ...]
    hidden: tuple[Stretch, ...] = ()

    @property
    def seconds(self) -> float:
        return self.frames / self.frame.fps

    def scene(self, at: float) -> int | None:
        """Which scene, from 1, is shown at a moment."""
        return next((number for number, each in enumerate(self.scenes, 1) if each.start <= at < each.end), None)

    def seams(self) -> tuple[Stretch, ...]:
        """When one scene goes over into the next: maybe through black."""
        return tuple(Stretch(each.start - FADE_S, each.start + FADE_S) for each in self.scenes[1:])

    def silences(self) -> tuple[Stretch, ...]:
        """When nothing is said."""
        return minus([Stretch(0.0, self.seconds)], self.words)

    def speaking(self) -> tuple[Stretch, ...]:
        """When the lips are at work and to be seen: words, joined where the lips cannot rest between them."""
        return minus(joined(self.words, gap=REST_S + 2 * SLOPE_S), self.hidden)

    def resting(self) -> tuple[Stretch, ...]:
        """When the lips are to be seen closed."""
        inner = [Stretch(each.start + SLOPE_S, each.end - SLOPE_S) for each in self.silences()]
        return minus([each for each in inner if each.seconds >= REST_S], self.hidden)


@dataclass(frozen=True, slots=True)
class Picture:
    """`even`: all frames are shown equally long. `group_s` is the longest from key frame to key frame."""

    codec: str
    profile: str
    pixels: str
    colour: str
    width: int
    height: int
    fps: float
    frames: int
    even: bool
    group_s: float
    closed: bool


@dataclass(frozen=True, slots=True)
class Sound:
    codec: str
    sample_rate: int
    channels: str
    loudness_lufs: float
    true_peak_dbtp: float


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the face: how far the lips are apart in eye distances, None where no face was found."""

    at: float
    lips: float | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was measured on a file. `drift_s` is by how much the sound outlasts the picture."""

    index_first: bool
    drift_s: float
    picture: Picture | None
    sound: Sound | None
    black: tuple[Stretch, ...]
    frozen: tuple[Stretch, ...]
    silent: tuple[Stretch, ...]
    looks: tuple[Look, ...]


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong: `measure` is for programs and stays, `says` is for people."""

    measure: str
    found: float | str | None
    wanted: float | str | None
    scene: int | None
    says: str


def defects(found: Inspection, expected: Expected) -> tuple[Defect, ...]:
    """All that is wrong, none where the video may be published."""
    return (*_container(found, expected), *_stretches(found, expected), *_lips(found.looks, expected))


def _container(found: Inspection, expected: Expected) -> Iterator[Defect]:
    if not found.index_first:
        yield Defect("index_first", "at the end", "first", None, "its index is behind its media, so it cannot stream")
    yield from _picture(found.picture, expected) if found.picture else [_none("picture")]
    yield from _sound(found.sound) if found.sound else [_none("sound")]
    if found.picture and found.sound and abs(found.drift_s) > DRIFT_S:
        said = f"sound and picture end {abs(found.drift_s):.2f} s apart"
        yield Defect("drift_s", found.drift_s, DRIFT_S, None, said)


def _none(track: str) -> Defect:
    return Defect(track, None, "one", None, f"it has no {track}")


def _picture(found: Picture, expected: Expected) -> Iterator[Defect]:
    frame = expected.frame
    yield from _equal("video_codec", found.codec, "h264")
    yield from _equal("profile", found.profile, "High")
    yield from _equal("pixels", found.pixels, "yuv420p")
    yield from _equal("colour", found.colour, "bt709")
    yield from _equal("size", f"{found.width}x{found.height}", f"{frame.width}x{frame.height}")
    yield from _equal("fps", f"{found.fps:g}", f"{frame.fps:g}")
    yield from _equal("frames", str(found.frames), str(expected.frames))
    if not found.even:
        yield Defect("frame_rate", "variable", "constant", None, "its frames are not shown equally long")
    if found.group_s > GROUP_S + 0.5 / frame.fps:
        said = f"it has a key frame only every {found.group_s:.2f} s"
        yield Defect("group_s", round(found.group_s, 3), GROUP_S, None, said)
    if not found.closed:
        yield Defect("groups", "open", "closed", None, "its groups of pictures lean on each other, so it cannot be cut")


def _sound(found: Sound) -> Iterator[Defect]:
    yield from _equal("audio_codec", found.codec, "aac")
    yield from _equal("sample_rate", str(found.sample_rate), str(SAMPLE_RATE))
    yield from _equal("channels", found.channels, "stereo")
    if abs(found.loudness_lufs - TARGET_LUFS) > TOLERANCE_LU:
        said = f"its loudness is {found.loudness_lufs:.1f} LUFS, not {TARGET_LUFS:g} ±{TOLERANCE_LU:g}"
        yield Defect("loudness_lufs", found.loudness_lufs, TARGET_LUFS, None, said)
    if found.true_peak_dbtp > CEILING_DBTP:
        said = f"its true peak is {found.true_peak_dbtp:.1f} dBTP, above {CEILING_DBTP:g}"
        yield Defect("true_peak_dbtp", found.true_peak_dbtp, CEILING_DBTP, None, said)


def _equal(measure: str, found: str, wanted: str) -> Iterator[Defect]:
    if found != wanted:
        said = f"its {measure.replace('_', ' ')} is {found or 'unknown'}, not {wanted}"
        yield Defect(measure, found, wanted, None, said)


def _stretches(found: Inspection, expected: Expected) -> Iterator[Defect]:
    yield from _each("black", minus(found.black, expected.seams()), BLACK_S, "it is black", expected)
    yield from _each("frozen", minus(found.frozen, expected.hidden), FROZEN_S, "its picture stands still", expected)
    # Without sound there is nothing to compare, and that is a defect of its own.
    if not found.sound or not expected.words:
        return
    mute = common(joined(expected.words, gap=BREATH_S), found.silent)
    yield from _each("silent", mute, MUTE_S, "nothing is heard where words are said", expected)
    unread = minus(expected.words, expected.captions)
    yield from _each("caption", unread, UNREAD_S, "words are said that no caption shows", expected)
    heard = minus([Stretch(0.0, expected.seconds)], found.silent)
    around = [Stretch(each.start - AROUND_S, each.end + AROUND_S) for each in (*expected.captions, *expected.words)]
    yield from _each("unwritten", minus(heard, around), UNWRITTEN_S, "something is heard that is not written", expected)


def _each(measure: str, stretches: Iterable[Stretch], limit: float, says: str, expected: Expected) -> Iterator[Defect]:
    for each in stretches:
        if each.seconds > limit + 1e-6:
            yield Defect(measure, str(each), limit, expected.scene(each.start), f"{says} at {each}")


def _lips(looks: Sequence[Look], expected: Expected) -> Iterator[Defect]:
    speaking, resting = expected.speaking(), expected.resting()
    if speaking and not looks:
        yield Defect("face", None, "one", None, "nobody looked for a face in it")
    seen = [look for look in looks if not _inside(look.at, expected.hidden)]
    gone = joined([Stretch(look.at, look.at) for look in seen if look.lips is None], gap=FACELESS_S)
    found = [look.at for look in seen if look.lips is not None]
    lost = [each for each in gone if not any(each.start < at < each.end for at in found)]
    yield from _each("face", lost, FACELESS_S, "no face is seen", expected)
    said = [look for look in seen if look.lips is not None and _inside(look.at, speaking)]
    for still in _still(said, speaking):
        text = f"the mouth does not move at {still}"
        yield Defect("mouth_still", str(still), STILL_S, expected.scene(still.start), text)
    for number, scene in enumerate(expected.scenes, 1):
        talk = _openings(said, scene)
        rest = _openings([look for look in seen if _inside(look.at, resting)], scene)
        if min(len(talk), len(rest)) < LEAST_LOOKS:
            continue
        stirs, stirs_in_speech = _ninth(rest) - rest[0], _ninth(talk) - talk[0]
        if stirs > OPEN and stirs > RESTLESS * stirs_in_speech:
            text = "the mouth goes on moving in the pauses"
            yield Defect("mouth_restless", round(stirs, 3), OPEN, number, text)
        elif (middle := rest[len(rest) // 2]) > OPEN and middle >= _ninth(talk) - STIRRED:
            text = "the mouth stands open in the pauses"
            yield Defect("mouth_open", round(middle, 3), OPEN, number, text)


def _ninth(openings: Sequence[float]) -> float:
    """The widest but one in ten: one look may be wrong."""
    return openings[int(0.9 * (len(openings) - 1))]


def _still(said: Sequence[Look], speaking: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """The stretches of speech, longer than anybody's lips rest in it, in which they do; pauses are not counted.

    A speech that is shorter than that is judged as a whole, and a very short one not at all.
    """
    if len(said) < LEAST_LOOKS:
        return ()
    spoken = [sum(min(look.at, each.end) - each.start for each in speaking if each.start < look.at) for look in said]
    long = min(STILL_S, spoken[-1] - spoken[0])
    if long < BRIEF_S:
        return ()
    found: list[Stretch] = []
    first = 0
    for last in range(len(said)):
        while _range(said[first : last + 1]) > STIRRED:
            first += 1
        if spoken[last] - spoken[first] >= long:
            found.append(Stretch(said[first].at, said[last].at))
    return joined(found, gap=0.0)


def _range(looks: Sequence[Look]) -> float:
    openings = [look.lips for look in looks if look.lips is not None]
    return max(openings) - min(openings)


def _openings(looks: Iterable[Look], scene: Stretch) -> list[float]:
    return sorted(look.lips for look in looks if look.lips is not None and scene.start <= look.at < scene.end)


def _inside(at: float, stretches: Iterable[Stretch]) -> bool:
    return any(each.start <= at <= each.end for each in stretches)


def joined(stretches: Iterable[Stretch], *, gap: float) -> tuple[Stretch, ...]:
    """In order; those that lie no further apart than `gap` as one."""
    found: list[Stretch] = []
    for each in sorted(stretches, key=lambda stretch: stretch.start):
        if found and each.start - found[-1].end <= gap + 1e-9:
            found[-1] = Stretch(found[-1].start, max(found[-1].end, each.end))
        else:
            found.append(each)
    return tuple(found)


def common(some: Sequence[Stretch], others: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """What lies in both."""
    return minus(some, minus(some, others))


def minus(some: Iterable[Stretch], others: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """What is left of some without the others."""
    left: list[Stretch] = []
    away = joined(others, gap=0.0)
    for each in joined(some, gap=0.0):
        borders = [each.start, *(edge for other in away for edge in (other.start, other.end)), each.end]
        clipped = [min(max(border, each.start), each.end) for border in borders]
        left += [Stretch(a, b) for a, b in list(pairwise(clipped))[::2] if b > a]
    return tuple(left)
