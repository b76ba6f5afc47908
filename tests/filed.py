"""The instant family, but with files: each is small, is kept, and tells what it was made from, as real ones do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import Captions, ClonedVoice, Finished, Footage, Neutral, Utterance
from pipeline.timeline import Word
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
        return (self._film if "frame" in options else self._say)(*arguments, seed=seed, **options)

    def paint(self, prompt: str, *, width: int, height: int, seed: int) -> Asset:
        return self._keep("background", [], prompt, width, height, seed)

    def stitch(self, clips: Sequence[Footage], speeches: Sequence[Utterance], **_: Any) -> Footage:
        sources = [clip.video for clip in clips] + [speech.audio for speech in speeches]
        return Footage(self._keep("cut", sources), sum(clip.frames for clip in clips), SECONDS * len(clips))

    def enhance(self, video: Footage, *, frame: Frame, marks: Mapping[str, str], thumbnail_at: float) -> Finished:
        film = self._keep("video", [video.video], dict(marks))
        return Finished(film, self._keep("thumbnail", [film]), video.seconds, -16.0, -1.5)

    def pose(self, neutral: Neutral, *, name: str) -> Asset:
        return self._keep("pose", [neutral.cutout], name)

    def cut(self, medium: Asset | None, words: Sequence[Any], *, seconds: float, frame: Frame, seed: int) -> Footage:
        film = self._keep("cutaway", [medium], repr(words), seconds, repr(frame), seed)
        return Footage(film, round(seconds * frame.fps), seconds)

    def _say(self, text: str, voice: ClonedVoice | None, *, seed: int, language: str | None = None) -> Utterance:
        obey(text)
        audio = self._keep("speech", [], text, seed, language, voice.external_id if voice else None)
        said = text.split()
        each = SECONDS / len(said)
        words = tuple(Word(word, place * each, (place + 1) * each) for place, word in enumerate(said))
        return Utterance(audio, self._keep("phonemes", [audio], text), SECONDS, words)

    def _film(self, neutral: Neutral, speech: Utterance, *, frame: Frame, backdrop: Asset, **asked: Any) -> Footage:
        insert = asked["staging"].insert
        sources = [neutral.cutout, speech.audio, speech.phonemes, backdrop, insert.footage.video if insert else None]
        asked["staging"] = replace(asked["staging"], insert=None)
        clip = self._keep("clip", sources, repr(frame), repr(sorted(asked.items())))
        return Footage(clip, round(SECONDS * frame.fps), SECONDS)

    def _keep(self, kind: str, sources: Sequence[Asset | None], *said: Any) -> Asset:
        made_from = [source for source in sources if source is not None]
        with self.assets.scratch() as folder:
            file = folder / kind
            file.write_text(json.dumps([kind, [source.sha256 for source in made_from], *said]))
            return self.assets.keep(file, kind=kind, media_type="application/octet-stream", made_from=made_from)


ADAPTERS = dict.fromkeys(instant.ADAPTERS, "tests.filed:Filed")
DETERMINISTIC = tuple(ADAPTERS)
