"""Caption files for players: WebVTT and SubRip, by pysubs2."""

from collections.abc import Sequence
from html import escape

import pysubs2

from pipeline.ports import AssetStore, Captions
from pipeline.timeline import Cue

JOINER = "\u2060"  # invisible: keeps a player from taking words for markup


class LocalCaptions:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def write(self, cues: Sequence[Cue]) -> Captions:
        """UTF-8 files with the cues as they are. Times are rounded alike: cues that touch do not overlap."""
        vtt = written(cues, "vtt")
        srt = written(cues, "srt")
        facts = {"cues": len(cues), "seconds": cues[-1].end if cues else 0.0}
        with self.assets.scratch() as folder:
            for name, content in (("captions.vtt", vtt), ("captions.srt", srt)):
                (folder / name).write_text(content, encoding="utf-8", newline="\n")
            return Captions(
                self.assets.keep(folder / "captions.vtt", kind="captions", media_type="text/vtt", facts=facts),
                self.assets.keep(
                    folder / "captions.srt", kind="captions", media_type="application/x-subrip", facts=facts
                ),
            )


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
            pysubs2.SSAEvent(start=round(cue.start * 1000), end=round(cue.end * 1000), text=text.replace("\n", "\\N"))
        )
    # Passed through as they are: braces are words here, not ASS tags.
    return file.to_string(form, keep_ssa_tags=True)
