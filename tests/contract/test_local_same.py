"""What the local family says of itself: asked the same, it makes the same, byte for byte."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.frame import Frame
from pipeline.ports import Insert, Staging
from pipeline.timeline import cues
from providers.local import DETERMINISTIC
from providers.local.b_roll import LocalCutaways
from providers.local.background import LocalBackground
from providers.local.editing import LocalEditor
from providers.local.lip_sync import LocalPortrait
from providers.local.neutral import LocalNeutral
from providers.local.pose import LocalPose
from providers.local.sample import portrait
from providers.local.speech import LocalSpeech
from tests.shelf import FolderStore

FRAME = Frame(480, 320, 25)
SEED = 7


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_asked_the_same_it_makes_the_same(tmp_path: Path) -> None:
    first, second = (made(FolderStore(tmp_path / name)) for name in ("first", "second"))
    assert first == second
    assert first.keys() == set(DETERMINISTIC)


def made(store: FolderStore) -> Mapping[str, str]:
    """By capability: the digest of what came of it."""
    photo = store.keep(portrait(), kind="photo", media_type="image/png")
    neutral = LocalNeutral(store).neutral(photo, background="#20242c")
    speech = LocalSpeech(store).speak("Each cup has a name on it.", seed=SEED)
    backdrop = LocalBackground(store).paint("a cafe", width=FRAME.width, height=FRAME.height, seed=SEED)
    still = LocalPose(store).pose(neutral, name="think")
    footage = LocalCutaways(store).cut(None, speech.words, seconds=1.0, frame=FRAME, seed=SEED)
    clip = LocalPortrait(store).speak(
        neutral,
        speech,
        backdrop=backdrop,
        shot="medium",
        frame=FRAME,
        cues=cues(speech.words, until=speech.seconds),
        seed=SEED,
        staging=Staging(pose="think", insert=Insert(footage, 0.6, picture_in_picture=False, typed=True)),
    )
    cut = LocalEditor(store).stitch([clip, clip], [speech, speech], frame=FRAME)
    return {
        "speech": speech.audio.sha256,
        "background": backdrop.sha256,
        "pose": still.sha256,
        "b_roll": footage.video.sha256,
        "lip_sync": clip.video.sha256,
        "editing": cut.video.sha256,
    }
