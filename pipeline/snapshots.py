"""What was asked, as the stages read it: the typed parts of a job's immutable snapshot.

A stage reads the parts it needs, so that nothing else can change its input digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.frame import Frame

VARIATION_STRIDE = 1_000_003  # a prime: the seeds of neighbouring scenes' variations do not meet


@dataclass(frozen=True, slots=True)
class Seed:
    value: int

    def varied(self, variation: int) -> "Seed":
        """The seed of the n-th variation; the 0th is the one that was asked for."""
        return replace(self, value=(self.value + variation * VARIATION_STRIDE) % 2**31)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a reviewer wants to be different in this variation of a step."""

    text: str


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """Either an uploaded asset or an address to fetch it from."""

    asset_id: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Photos:
    sources: tuple[PhotoSource, ...]


@dataclass(frozen=True, slots=True)
class VoiceSample:
    """Either an uploaded sound or an address to fetch it from."""

    asset_id: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Consent:
    statement: str
    subject: str
    granted_at: str


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    consent: Consent


@dataclass(frozen=True, slots=True)
class Style:
    look: str
    background: str


@dataclass(frozen=True, slots=True)
class AvatarSnapshot:
    photos: Photos
    person: Person
    style: Style
    sample: VoiceSample | None = None
    deadline_s: int | None = None


@dataclass(frozen=True, slots=True)
class VoiceSnapshot:
    sample: VoiceSample
    person: Person
    deadline_s: int | None = None


@dataclass(frozen=True, slots=True)
class AvatarRef:
    """Who speaks. Without a `voice_id` it is the avatar's own voice."""

    avatar_id: str
    voice_id: str | None = None


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """The text to say, or a brief from which a script is written."""

    text: str | None
    brief: str | None
    duration_s: float
    tone: str


@dataclass(frozen=True, slots=True)
class Language:
    """Of the script and its voice, as a BCP 47 tag."""

    tag: str

    def spoken(self, known: Sequence[str]) -> bool:
        """Whether one of these tags is it or its like without a region (RFC 4647, "lookup")."""
        parts = self.tag.lower().split("-")
        ways = {"-".join(parts[:count]) for count in range(1, len(parts) + 1)}
        return bool(ways & {tag.lower() for tag in known})


@dataclass(frozen=True, slots=True)
class SceneLimit:
    most: int


@dataclass(frozen=True, slots=True)
class Setting:
    """What is seen behind the avatar."""

    prompt: str


@dataclass(frozen=True, slots=True)
class CaptionStyle:
    """`burned` into the picture, or only beside it (`sidecar`), or `none`."""

    mode: str


@dataclass(frozen=True, slots=True)
class PoseWish:
    """The poses that the scenes take in turn; at least one."""

    sequence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BRollWish:
    """The assets to cut away to, by id; without any, pictures are made from the words."""

    media: tuple[str, ...]
    picture_in_picture: bool


@dataclass(frozen=True, slots=True)
class LowerThird:
    """The avatar's name written into the first scene, and the line below it."""

    line: str | None


@dataclass(frozen=True, slots=True)
class ReviewWish:
    """The gates at which a person decides, and how long he has: seconds, or None."""

    gates: tuple[str, ...]
    expires_in_s: int | None


@dataclass(frozen=True, slots=True)
class OutputSnapshot:
    avatar: AvatarRef
    script: ScriptRequest
    scenes: SceneLimit
    setting: Setting
    frame: Frame
    captions: CaptionStyle
    seed: Seed
    language: Language = Language("en")
    poses: PoseWish | None = None
    b_roll: BRollWish | None = None
    lower_third: LowerThird | None = None
    review: ReviewWish | None = None
    # whether what earlier jobs made may be taken
    reuse: bool = True
    deadline_s: int | None = None
    budget: str | None = None  # USD
    # by step: an asset that stands for what it would make, and outputs that are there already, as JSON
    approved: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)


Snapshot = AvatarSnapshot | VoiceSnapshot | OutputSnapshot
