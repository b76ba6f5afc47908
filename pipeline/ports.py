"""What stages need from the world: capabilities, which adapters give, and ports, which the house gives.

Seconds are floats from the start of the scene, sizes are pixels, colours are `#rrggbb`.
Every method may raise a `pipeline.errors.StageError`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.assets import Asset
from pipeline.calls import Answered, Call, Operation, Ticket
from pipeline.disclosure import Disclosure
from pipeline.errors import ProviderError
from pipeline.frame import Frame
from pipeline.quality import Expected, Inspection
from pipeline.snapshots import Person, PhotoSource, VoiceSample
from pipeline.timeline import Cue, Word

CAPABILITIES: dict[str, type] = {}
P = TypeVar("P", bound=type)


def capability(name: str) -> Callable[[P], P]:
    """Declare a Protocol that adapters implement; `name` is its key in `LIKENESS_PROVIDERS`."""

    def register(protocol: P) -> P:
        CAPABILITIES[name] = protocol
        return protocol

    return register


# --- what the house gives -----------------------------------------------------------------


class AssetStore(Protocol):
    """The files of one step's attempt: reads any asset, keeps new ones with their lineage."""

    def open(self, asset: Asset) -> AbstractContextManager[Path]:
        """A local file with the asset's bytes, checked against its digest. Read only. Raises AssetDamaged."""
        ...

    def keep(
        self,
        file: Path,
        *,
        kind: str,
        media_type: str,
        facts: Mapping[str, Any] | None = None,
        made_from: Sequence[Asset] = (),
    ) -> Asset:
        """Copy the file into the store. `facts` are measured (`width`, `height`, `seconds`, `fps` …), never planned."""
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """An empty folder that is gone afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Neutral:
    """The identity's picture: face front, mouth closed, plain background; `cutout` is the aligned person with alpha."""

    image: Asset
    cutout: Asset | None


@dataclass(frozen=True, slots=True)
class VoiceTraits:
    """How somebody speaks, as measured: median pitch in Hz, its spread (standard deviation) in semitones, syllables a
    second of speech without its pauses, and the level of each band of the voiced spectrum in dB about their mean."""

    pitch_hz: float
    pitch_spread_st: float
    syllables_per_s: float
    envelope_db: tuple[float, ...]


DELETED = "deleted"  # the provider of a voice that is no more


@dataclass(frozen=True, slots=True)
class ClonedVoice:
    """A voice made from samples. `provider` names the one family that can speak with it, `external_id` is its name
    there; `method` says how it was made, and so what it may be called; `settings` are what that family speaks it by;
    `samples` are what it was made from."""

    provider: str
    external_id: str
    method: str = "instant clone"
    settings: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[Asset, ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """An avatar that exists, at one version. `voice` is what it speaks with in this job; None: the stock voice."""

    avatar_id: str
    version: int
    name: str
    neutral: Neutral
    voice: ClonedVoice | None = None


class Identities(Protocol):
    """The client's avatars. Bound to one job: saving twice saves once."""

    def save(self, person: Person, neutral: Neutral, sheet: Asset, voice_id: str | None = None) -> str:
        """The id of the avatar that this job makes. `voice_id`: the voice that is its own."""
        ...

    def load(self, avatar_id: str, voice_id: str | None = None) -> Identity:
        """With the voice that is named, or else its own. Raises IdentityMissing, VoiceMissing."""
        ...


class Voices(Protocol):
    """The client's voices. Bound to one job: saving twice saves once."""

    def save(self, person: Person, voice: ClonedVoice, *, sample: Asset, traits: VoiceTraits, preview: Asset) -> str:
        """The id of the voice that this job makes."""
        ...


class MediaSource(Protocol):
    """Input files, by reference. Bound to one client: another's assets do not exist here."""

    def take(self, source: PhotoSource | VoiceSample) -> Asset:
        """The uploaded asset, or what the address gives, kept. Raises FetchRefused, FetchFailed, AssetDamaged."""
        ...


class Provenance(Protocol):
    """The operator's signature under what a video says of itself, where there is one."""

    def sign(self, video: Asset, disclosure: Disclosure, *, title: str, facts: Mapping[str, Any]) -> Asset:
        """The video with a signed manifest; the video as it is where nothing is signed. Raises SigningFailed."""
        ...


class Ledger(Protocol):
    """The paid calls of one attempt of a step; what is written here is committed when the method returns."""

    def open(self, operation: Operation[Any, Any], action: Any) -> Call:
        """The call for this action: a new one, its price reserved, or the one that was made before.

        Raises NotYet: no slot is free, or the attempt is no longer in force.
        """
        ...

    def undisturbed(self) -> AbstractContextManager[None]:
        """While this lasts, nothing interrupts the stage: between a request and what is noted of it."""
        ...

    def confirm(self, call: Call) -> None:
        """Raises NotYet where the attempt is no longer in force: nothing may be sent for it."""
        ...

    def submitted(self, call: Call, ticket: Ticket) -> None: ...

    def succeeded(self, call: Call, answer: Answered[Any]) -> None: ...

    def failed(self, call: Call, error: ProviderError) -> None: ...

    def uncertain(self, call: Call) -> None: ...


# --- what adapters give -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FaceReport:
    """What was measured on a photo that can become an avatar."""

    width: int
    height: int
    eye_distance: float
    yaw: float
    roll: float
    sharpness: float
    luma: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech, and what the renderer and the captions need to know of it.

    `audio` is a mono WAV; `phonemes` a JSON asset: `{"seconds", "phonemes": [{"symbol", "start", "end", "stress"}]}`.
    """

    audio: Asset
    phonemes: Asset
    seconds: float
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What was measured on a sound from which a voice can be made. `snr_db` is speech over what is heard in its pauses,
    `clipped` the share of the speech that is cut off at full scale."""

    seconds: float
    speech_seconds: float
    sample_rate: int
    channels: int
    peak_dbfs: float
    snr_db: float
    clipped: float
    traits: VoiceTraits


@dataclass(frozen=True, slots=True)
class Footage:
    """A video whose measured length is `frames / fps` seconds."""

    video: Asset
    frames: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PlannedCutaway:
    """Where a scene leaves the speaker: from and to, as shares of its speech; for an asset, or a made one."""

    medium: str | None
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class PlannedScene:
    """A planner's answer for one scene: untrusted until checked. `transition` leads to the next scene."""

    transcript: str
    background: str
    shot: str
    pose: str | None = None
    cutaway: PlannedCutaway | None = None
    transition: str = "cut"


@dataclass(frozen=True, slots=True)
class Insert:
    """A cutaway's pictures, to be shown from `start` seconds of the scene on; the voice goes on.

    `picture_in_picture`: the speaker stays in a corner. `typed`: it shows the words itself, so captions would double
    them.
    """

    footage: Footage
    start: float
    picture_in_picture: bool
    typed: bool

    @property
    def end(self) -> float:
        return self.start + self.footage.seconds


@dataclass(frozen=True, slots=True)
class Title:
    """A lower third: who speaks."""

    name: str
    line: str | None


@dataclass(frozen=True, slots=True)
class Staging:
    """What a scene is besides its shot. `opens` and `closes` are `cut`, `fade` (from black, to black), or `dissolve`,
    which is nothing here: the editor makes it of two scenes. `notes`: what a reviewer wants to be different this time.
    """

    pose: str | None = None
    insert: Insert | None = None
    opens: str = "cut"
    closes: str = "cut"
    title: Title | None = None
    notes: str | None = None


PLAIN = Staging()


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished video and what was measured on it."""

    video: Asset
    thumbnail: Asset
    seconds: float
    loudness_lufs: float
    true_peak_dbtp: float


@dataclass(frozen=True, slots=True)
class Captions:
    vtt: Asset
    srt: Asset


@capability("photo")
class PhotoInspector(Protocol):
    def inspect(self, photo: Asset) -> FaceReport:
        """Measure the one face. Raises UnreadableImage, ImageTooLarge, AnimatedImage, NoFace, SeveralFaces, and the
        kinds of UnusableFace."""
        ...


@capability("neutral_image")
class NeutralMaker(Protocol):
    def neutral(self, photo: Asset, *, background: str) -> Neutral:
        """The person upright, mouth closed, on the plain `background` colour."""
        ...


@capability("character_sheet")
class SheetMaker(Protocol):
    def sheet(self, neutral: Neutral, *, name: str) -> Asset:
        """One labelled picture of the person's expressions."""
        ...


@capability("script")
class ScriptWriter(Protocol):
    def write(self, brief: str, *, seconds: float, tone: str, notes: str | None = None) -> str:
        """A script of about `seconds` of speech. `notes`: what a reviewer wants to be different this time."""
        ...


@capability("storyboard")
class StoryboardPlanner(Protocol):
    def plan(
        self,
        script: str,
        *,
        scenes: int,
        background: str,
        poses: Sequence[str] = (),
        media: Sequence[str] | None = None,
        flaw: str | None = None,
        notes: str | None = None,
    ) -> tuple[PlannedScene, ...]:
        """At most `scenes` scenes whose transcripts together are the script, word for word, in whole sentences.

        Each takes the next of `poses`, from the first again after the last. `media` are the assets to cut away to; an
        empty list asks for made pictures, None for no cutaways. `flaw` is what was wrong with the answer before,
        `notes` what a reviewer wants to be different this time.
        """
        ...


@capability("speech")
class SpeechSynthesizer(Protocol):
    def speak(
        self, text: str, voice: ClonedVoice | None = None, *, seed: int, language: str | None = None
    ) -> Utterance:
        """Say the text with this voice, or the stock voice. `language` is a BCP 47 tag; without one the text tells.
        Raises TextNotSpeakable, VoiceElsewhere."""
        ...


@capability("voice_sample")
class SampleInspector(Protocol):
    def listen(self, sample: Asset) -> SampleReport:
        """Measure the one speaker. Raises UnreadableSound, TruncatedSound, SampleTooShort, SampleTooLong, SilentSample,
        ClippedSample, NoSpeech, NoisySample."""
        ...


@capability("voice_cloning")
class VoiceCloner(Protocol):
    def clone(self, samples: Sequence[Asset], *, name: str) -> ClonedVoice:
        """Make a voice that sounds like the samples. Raises ProviderRejected."""
        ...


@capability("background")
class BackgroundMaker(Protocol):
    def paint(self, prompt: str, *, width: int, height: int, seed: int) -> Asset:
        """A picture to stand behind the avatar."""
        ...


@capability("lip_sync")
class TalkingPortrait(Protocol):
    def speak(
        self,
        neutral: Neutral,
        speech: Utterance,
        *,
        backdrop: Asset,
        shot: str,
        frame: Frame,
        cues: Sequence[Cue],
        seed: int,
        staging: Staging = PLAIN,
    ) -> Footage:
        """Make the avatar say the speech.

        `shot` is `wide`, `medium` or `close`; `cues` are burned in; the footage is as long as the speech, rounded up
        to a whole frame, and has its sound, whatever `staging` shows meanwhile.
        """
        ...


@capability("pose")
class PoseMaker(Protocol):
    def pose(self, neutral: Neutral, *, name: str) -> Asset:
        """A still of the person in one of `pipeline.poses.POSES`."""
        ...


@capability("b_roll")
class CutawayMaker(Protocol):
    def cut(self, medium: Asset | None, words: Sequence[Word], *, seconds: float, frame: Frame, seed: int) -> Footage:
        """Silent pictures that fill the frame for `seconds`, a whole number of frames.

        From a photo or a video, which is cropped, and looped where it is shorter; or, without one, from the `words`,
        whose times count from the first picture. Raises UnreadableImage, ImageTooLarge, AnimatedImage,
        UnreadableVideo.
        """
        ...


@capability("editing")
class VideoEditor(Protocol):
    def stitch(
        self,
        clips: Sequence[Footage],
        speeches: Sequence[Utterance],
        *,
        frame: Frame,
        dissolves: Collection[int] = (),
    ) -> Footage:
        """Join the clips without encoding the picture again; each scene's sound starts with its first frame.

        `dissolves` are the scenes, from 1, that dissolve into the next one: in their last frames, so that no scene
        begins or ends at another moment than it would with a cut.
        """
        ...


@capability("enhancement")
class VideoEnhancer(Protocol):
    def enhance(self, video: Footage, *, frame: Frame, marks: Mapping[str, str], thumbnail_at: float) -> Finished:
        """Even out the loudness (-16 LUFS), mark the file as synthetic, put its index first, take a thumbnail."""
        ...


@capability("inspection")
class VideoInspector(Protocol):
    def examine(self, video: Asset, *, expected: Expected) -> Inspection:
        """Measure the file, whoever made it; `expected` says where to look, what it is worth is judged elsewhere."""
        ...


@capability("captions")
class CaptionWriter(Protocol):
    def write(self, cues: Sequence[Cue], made_from: Sequence[Asset] = ()) -> Captions:
        """The cues as WebVTT and SubRip files. `made_from`: in what the words were heard."""
        ...
