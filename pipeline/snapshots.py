"""What was asked, as the stages read it: the typed parts of a job's immutable snapshot.

A stage reads the parts it needs, so that nothing else can change its input digest.
"""

from dataclasses import dataclass, replace

from pipeline.frame import Frame

VARIATION_STRIDE = 1_000_003  # a prime: the seeds of neighbouring scenes' variations do not meet


@dataclass(frozen=True, slots=True)
class Seed:
    value: int

    def varied(self, variation: int) -> "Seed":
        """The seed of the n-th variation; the 0th is the one that was asked for."""
        return replace(self, value=(self.value + variation * VARIATION_STRIDE) % 2**31)


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """Either an uploaded asset or an address to fetch it from."""

    asset_id: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Photos:
    sources: tuple[PhotoSource, ...]


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


@dataclass(frozen=True, slots=True)
class AvatarRef:
    avatar_id: str


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """The text to say, or a brief from which a script is written."""

    text: str | None
    brief: str | None
    duration_s: float
    tone: str


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
class OutputSnapshot:
    avatar: AvatarRef
    script: ScriptRequest
    scenes: SceneLimit
    setting: Setting
    frame: Frame
    captions: CaptionStyle
    seed: Seed


Snapshot = AvatarSnapshot | OutputSnapshot
