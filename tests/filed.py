"""The instant family, but with files: each is small, is kept, and tells what it was made from, as real ones do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import Captions, Finished, Footage, Neutral, Utterance
from tests import instant
from tests.instant import SECONDS, Instant, obey


class Filed(Instant):
    """What is painted for one prompt and seed is the same file for whoever asks."""

    name = "filed"

    def neutral(self, photo: Asset, *, background: str) -> Neutral:
        return Neutral(self._keep("neutral_image", [photo], background), self._keep("cutout", [photo], background))

    def sheet(self, neutral: Neutral, *, name: str) -> Asset:
        return self._keep("character_sheet", [neutral.cutout], name)

    def write(self, *arguments: Any, **options: Any) -> Any:
        if options:
            return "A written script."
        cues, heard = arguments
        return Captions(self._keep("vtt", heard, repr(cues)), self._keep("srt", heard, repr(cues)))

    def speak(self, *arguments: Any, seed: int, **options: Any) -> Any:
        if "frame" in options:
            return self._film(*arguments, frame=options["frame"], backdrop=options["backdrop"], seed=seed)
        text, *_ = arguments
        obey(text)
        audio = self._keep("speech", [], text, seed)
        return Utterance(audio, self._keep("phonemes", [audio], text), SECONDS, ())

    def paint(self, prompt: str, *, width: int, height: int, seed: int) -> Asset:
        return self._keep("background", [], prompt, width, height, seed)

    def stitch(self, clips: Sequence[Footage], speeches: Sequence[Utterance], *, frame: Frame) -> Footage:
        sources = [clip.video for clip in clips] + [speech.audio for speech in speeches]
        return Footage(self._keep("cut", sources), sum(clip.frames for clip in clips), SECONDS * len(clips))

    def enhance(self, video: Footage, *, frame: Frame, marks: Mapping[str, str], thumbnail_at: float) -> Finished:
        film = self._keep("video", [video.video], dict(marks))
        return Finished(film, self._keep("thumbnail", [film]), video.seconds, -16.0, -1.5)

    def _film(self, neutral: Neutral, speech: Utterance, *, frame: Frame, backdrop: Asset, seed: int) -> Footage:
        clip = self._keep("clip", [neutral.cutout, speech.audio, speech.phonemes, backdrop], seed)
        return Footage(clip, round(SECONDS * frame.fps), SECONDS)

    def _keep(self, kind: str, sources: Sequence[Asset | None], *said: Any) -> Asset:
        made_from = [source for source in sources if source is not None]
        with self.assets.scratch() as folder:
            file = folder / kind
            file.write_text(json.dumps([kind, [source.sha256 for source in made_from], *said]))
            return self.assets.keep(file, kind=kind, media_type="application/octet-stream", made_from=made_from)


ADAPTERS = dict.fromkeys(instant.ADAPTERS, "tests.filed:Filed")
