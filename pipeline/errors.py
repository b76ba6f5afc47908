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
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class UnreadableImage(StageError):
    code = "unreadable_image"


class ImageTooLarge(StageError):
    code = "image_too_large"


class NoFace(StageError):
    code = "no_face"


class SeveralFaces(StageError):
    code = "several_faces"


class UnusableFace(StageError):
    """A face was found, but is too small, blurred, dark, turned away or cut off."""

    code = "unusable_face"


class TextNotSpeakable(StageError):
    code = "text_not_speakable"


class StoryboardInvalid(StageError):
    code = "storyboard_invalid"


class IdentityMissing(StageError):
    """The avatar was deleted, or never belonged to this client."""

    code = "identity_missing"


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


class ProviderMissing(StageError):
    """No adapter that could do this is set up on this machine."""

    code = "provider_missing"


class OutOfMemory(StageError):
    code = "out_of_memory"
    retryable = True


class TimeLimitExceeded(StageError):
    code = "time_limit_exceeded"
    retryable = True


class WorkerLost(StageError):
    """The process that ran the step died each time: out of memory, killed, or a fault in native code."""

    code = "worker_lost"
    retryable = True


class StageCrashed(StageError):
    """A programming error: the log has the trace, the record has only its name."""

    code = "internal_error"
    retryable = True
