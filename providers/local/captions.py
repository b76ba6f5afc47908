"""Caption files for players: WebVTT and SubRip, by pysubs2."""

from collections.abc import Sequence
from html import escape
from math import floor

import pysubs2

from pipeline.assets import Asset
from pipeline.ports import AssetStore, Captions
from pipeline.timeline import Cue

JOINER = "\u2060"  # invisible: keeps a player from taking words for markup


class LocalCaptions:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def write(self, cues: Sequence[Cue], made_from: Sequence[Asset] = ()) -> Captions:
        """UTF-8 files with the cues as they are. Times are cut to milliseconds: none outlasts the video."""
        vtt = written(cues, "vtt")
        srt = written(cues, "srt")
        facts = {"cues": len(cues), "seconds": cues[-1].end if cues else 0.0}
        with self.assets.scratch() as folder:
            for name, content in (("captions.vtt", vtt), ("captions.srt", srt)):
                (folder / name).write_text(content, encoding="utf-8", newline="\n")
            vtt_file, srt_file = (
                self.assets.keep(
                    folder / name, kind="captions", media_type=media_type, facts=facts, made_from=made_from
                )
                for name, media_type in (("captions.vtt", "text/vtt"), ("captions.srt", "application/x-subrip"))
            )
            return Captions(vtt_file, srt_file)


def written(cues: Sequence[Cue], form: str) -> str:
    """The file's text; `form` is `vtt` or `srt`."""
    file = pysubs2.SSAFile()
    for cue in cues:
        text = cue.text.replace("\\", "\\" + JOINER)
        text = (
            escape(text, quote=False)
            if form == "vtt"
            else text.replace("<", "<" + JOINER).replace("-->", f"--{JOINER}>")
        )
        file.append(
            pysubs2.SSAEvent(start=_milliseconds(cue.start), end=_milliseconds(cue.end), text=text.replace("\n", "\\N"))
        )
    # Passed through as they are: braces are words here, not ASS tags.
    return file.to_string(form, keep_ssa_tags=True)


def _milliseconds(seconds: float) -> int:
    return floor(round(seconds * 1000, 3))  # 1.001 is a little less than that to a computer
