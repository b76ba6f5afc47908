"""Cutting: scenes become one video without touching a single encoded picture."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from pipeline.errors import RenderFailed
from pipeline.frame import Frame
from pipeline.ports import AssetStore, Footage, Utterance
from providers.local import ffmpeg

RATE = 48_000


class LocalEditor:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def stitch(self, clips: Sequence[Footage], speeches: Sequence[Utterance], *, frame: Frame) -> Footage:
        """The clips one after another; each speech starts with its clip's first frame and is padded to its last.

        The sound is kept without loss (FLAC): it is encoded once, when the video is finished. Raises RenderFailed where
        clips do not fit together or the result is not exactly as long as its parts.
        """
        if not clips or len(clips) != len(speeches):
            raise RenderFailed(
                f"{len(clips)} clips and {len(speeches)} speeches do not make a video: one speech for each clip."
            )
        frames = sum(clip.frames for clip in clips)
        with self.assets.scratch() as folder:
            pictures = [self._clip(clip, folder / f"{index:04}.mp4", frame) for index, clip in enumerate(clips)]
            if len({track.setup for track in pictures}) > 1:
                raise RenderFailed(
                    "The scenes were encoded with different settings. Render them again with one version."
                )
            listing = folder / "list.txt"
            listing.write_text("".join(f"file '{index:04}.mp4'\n" for index in range(len(clips))))
            sound = self._sound(clips, speeches, folder / "sound.flac", frame.fps)
            cut = folder / "cut.mp4"
            ffmpeg.run([
                "-f", "concat", "-safe", "0", "-i", listing, "-i", sound, "-map", "0:v", "-map", "1:a", "-c", "copy",
                *ffmpeg.BITEXACT, "-movflags", "+faststart", *ffmpeg.clock(frame.fps), cut,
            ])  # fmt: skip
            made = ffmpeg.probe(cut)
            if not made.video or not made.audio or made.video.frames != frames or not made.video.even:
                raise RenderFailed(f"The joined video is not the {frames} even frames that its scenes have. Try again.")
            seconds = frames / frame.fps
            facts = {
                "seconds": seconds, "frames": frames, "fps": frame.fps, "width": made.video.width,
                "height": made.video.height, "sample_rate": made.audio.sample_rate, "scenes": len(clips),
                "drift_s": round(made.audio.end - made.video.end, 4),
            }  # fmt: skip
            made_from = [
                asset for clip, speech in zip(clips, speeches, strict=True) for asset in (clip.video, speech.audio)
            ]
            video = self.assets.keep(cut, kind="cut", media_type="video/mp4", facts=facts, made_from=made_from)
        return Footage(video, frames, seconds)

    def _clip(self, clip: Footage, file: Path, frame: Frame) -> ffmpeg.VideoTrack:
        """The clip's picture alone, checked against what its maker said of it."""
        with self.assets.open(clip.video) as path:
            ffmpeg.run(["-i", path, "-map", "0:v:0", "-c", "copy", *ffmpeg.clock(frame.fps), *ffmpeg.BITEXACT, file])
        track = ffmpeg.probe(file).video
        told = (clip.frames, frame.width, frame.height)
        if not track or (track.frames, track.width, track.height) != told or abs(track.fps - frame.fps) > 0.01:
            found = f"{track.frames} frames of {track.width}x{track.height} at {track.fps:g}" if track else "no picture"
            raise RenderFailed(f"A scene has {found}, not {told[0]} frames of {told[1]}x{told[2]} at {frame.fps}.")
        return track

    def _sound(self, clips: Sequence[Footage], speeches: Sequence[Utterance], file: Path, fps: int) -> Path:
        """48 kHz mono. Borders are rounded on the whole's clock, so that nothing adds up over many scenes."""
        borders = [0, *(round(frames * RATE / fps) for frames in accumulate(clip.frames for clip in clips))]
        parts: list[Path] = []
        for index, (speech, start, end) in enumerate(zip(speeches, borders[:-1], borders[1:], strict=True)):
            if speech.seconds * RATE > end - start + RATE / fps:
                raise RenderFailed(f"Scene {index + 1} ends before its speech does. Render it again.", scene=index + 1)
            parts.append(file.with_name(f"{index:04}.wav"))
            exact = f"aresample={RATE},apad=whole_len={end - start},atrim=end_sample={end - start}"
            with self.assets.open(speech.audio) as path:
                ffmpeg.run(["-i", path, "-map", "0:a:0", "-af", exact, "-ac", "1", "-c:a", "pcm_s16le", parts[-1]])
        listing = file.with_suffix(".txt")
        listing.write_text("".join(f"file '{part.name}'\n" for part in parts))
        ffmpeg.run(["-f", "concat", "-safe", "0", "-i", listing, *ffmpeg.BITEXACT, "-c:a", "flac", file])
        return file
