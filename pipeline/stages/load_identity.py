"""Who speaks."""

from pipeline.ports import Identities, Identity
from pipeline.snapshots import AvatarRef
from pipeline.stage import stage


@stage(label="Loading the avatar")
def load_identity(avatar: AvatarRef, *, identities: Identities) -> Identity:
    """Raises IdentityMissing or VoiceMissing when the avatar or the voice was deleted meanwhile."""
    return identities.load(avatar.avatar_id, avatar.voice_id)
