"""What can go wrong with a stage: facts with a code, never a stack trace.

`code` is for programs and stays; the message is for people and says what to do.
"""

from typing import Any, ClassVar


class StageError(Exception):
    """A stage cannot give its output.

    `retryable` says whether the same input may succeed later; `details` holds
    plain JSON facts (measured values, limits) and never a secret.
    """

    code: ClassVar[str] = "stage_failed"
    retryable: bool = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class UnreadableImage(StageError):
    code = "unreadable_image"


class ImageTooLarge(StageError):
    code = "image_too_large"


class AnimatedImage(StageError):
    """Several pictures in one file: nobody knows which of them is meant."""

    code = "animated_image"


class UnreadableVideo(StageError):
    """Damaged, cut off, without a picture, or of a kind that is not taken."""

    code = "unreadable_video"


class NoFace(StageError):
    code = "no_face"


class SeveralFaces(StageError):
    code = "several_faces"


class UnusableFace(StageError):
    """A face was found, but nothing good can be made of it."""

    code = "unusable_face"


class FaceCutOff(UnusableFace):
    code = "face_cut_off"


class FaceTooSmall(UnusableFace):
    code = "face_too_small"


class FaceTurned(UnusableFace):
    code = "face_turned"


class FaceTooDark(UnusableFace):
    code = "face_too_dark"


class FaceOverexposed(UnusableFace):
    code = "face_overexposed"


class FaceBlurred(UnusableFace):
    code = "face_blurred"


class PersonTooSmall(UnusableFace):
    """The face would do, but the person fills too little of the picture to be cut out of it."""

    code = "person_too_small"


class UnreadableSound(StageError):
    """The file is no sound, or one that cannot be decoded."""

    code = "unreadable_sound"


class TruncatedSound(StageError):
    """The file ends before the sound that it announces."""

    code = "truncated_sound"


class SampleTooShort(StageError):
    code = "sample_too_short"


class SampleTooLong(StageError):
    code = "sample_too_long"


class SilentSample(StageError):
    code = "silent_sample"


class ClippedSample(StageError):
    """Recorded too loud: the waves are cut off."""

    code = "clipped_sample"


class NoisySample(StageError):
    code = "noisy_sample"


class NoSpeech(StageError):
    """Something is heard, but hardly anybody speaks."""

    code = "no_speech"


class TextNotSpeakable(StageError):
    code = "text_not_speakable"


class StoryboardInvalid(StageError):
    code = "storyboard_invalid"


class IdentityMissing(StageError):
    """The avatar was deleted, or never belonged to this client."""

    code = "identity_missing"


class VoiceMissing(StageError):
    """The voice was deleted, or never belonged to this client."""

    code = "voice_missing"


class VoiceElsewhere(StageError):
    """The voice lives with a provider that is not set up here to speak."""

    code = "voice_elsewhere"


class AssetDamaged(StageError):
    """A stored file is gone, or is not what its digest says."""

    code = "asset_damaged"


class FetchRefused(StageError):
    """An input URL leads where we do not go, or to what we do not take."""

    code = "fetch_refused"


class FetchFailed(StageError):
    code = "fetch_failed"
    retryable = True


class RenderFailed(StageError):
    code = "render_failed"
    retryable = True


class QualityFailed(StageError):
    """The finished video is not what was asked. Finishing it once more would give the same."""

    code = "quality_failed"


class SigningFailed(StageError):
    """A matter of the operator's certificate, not of the job."""

    code = "signing_failed"


class ProviderMissing(StageError):
    """No adapter that could do this is set up on this machine."""

    code = "provider_missing"


class OutOfMemory(StageError):
    code = "out_of_memory"
    retryable = True


class TimeLimitExceeded(StageError):
    code = "time_limit_exceeded"
    retryable = True


class DeadlineExceeded(StageError):
    """The job was not done in the time that its caller gave it."""

    code = "deadline_exceeded"
    retryable = True


class WorkerLost(StageError):
    """The process that ran the step died each time: out of memory, killed, or a fault in native code."""

    code = "worker_lost"
    retryable = True


class StageCrashed(StageError):
    """A programming error: the log has the trace, the record has only its name."""

    code = "internal_error"
    retryable = True


class ProviderError(StageError):
    """A vendor did not give what was asked.

    `charged` says whether it has to be paid all the same. `pause_s`: the step waits so long and has not failed.
    `ends_call` is False where the vendor's work goes on whatever became of this one question. `gives_way`: another
    adapter may serve instead, where one is set up.
    """

    code = "provider_failed"
    gives_way: ClassVar[bool] = False
    ends_call: ClassVar[bool] = True

    def __init__(self, message: str, *, charged: bool = False, pause_s: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.charged = charged
        self.pause_s = pause_s


class ProviderRejected(ProviderError):
    """The vendor will not take this input: it has to be changed."""

    code = "provider_rejected"


class Moderated(ProviderError):
    code = "moderation"


class ProviderAuth(ProviderError):
    """The vendor does not know our key: a matter of the operator, not of the job."""

    code = "provider_auth"
    gives_way = True
    ends_call = False


class InsufficientFunds(ProviderError):
    code = "insufficient_funds"
    gives_way = True


class RateLimited(ProviderError):
    code = "rate_limited"
    ends_call = False


class ConcurrencyLimited(ProviderError):
    """Our own other calls take all the places that the vendor gives us."""

    code = "concurrency_limited"
    ends_call = False


class VendorBusy(ProviderError):
    """Not taken: the vendor is down or overloaded, or could not be reached."""

    code = "vendor_busy"
    retryable = True
    gives_way = True
    ends_call = False


class VendorFailed(ProviderError):
    """Taken, and it went wrong there; worth another try where it was not charged."""

    code = "vendor_failed"
    gives_way = True

    def __init__(self, message: str, *, charged: bool = False, **details: Any) -> None:
        super().__init__(message, charged=charged, **details)
        self.retryable = not charged


class OutcomeUnknown(ProviderError):
    """Sent, and no answer came: it may have to be paid."""

    code = "outcome_unknown"
    ends_call = False


class ResultExpired(ProviderError):
    """The vendor no longer has what it made."""

    code = "expired"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message, charged=True, **details)


class CallVanished(ProviderError):
    """The vendor does not know its own id any more."""

    code = "not_found"


class BadOutput(ProviderError):
    """What the vendor gave is not what was asked: broken, empty, of another kind."""

    code = "bad_output"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message, charged=True, **details)


class ProviderTimeout(ProviderError):
    """The vendor did not finish before our deadline."""

    code = "timeout"
    gives_way = True
    ends_call = False
