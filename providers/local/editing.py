"""Cutting: scenes become one video; encoded pictures are touched only where one scene dissolves into the next."""

from collections.abc import Collection, Sequence
from itertools import accumulate
from pathlib import Path

from pipeline.errors import RenderFailed
from pipeline.frame import Frame
from pipeline.ports import AssetStore, Footage, Utterance
from providers.local import ffmpeg

RATE = 48_000
DISSOLVE_S = 0.4


class LocalEditor:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def stitch(
        self,
        clips: Sequence[Footage],
        speeches: Sequence[Utterance],
        *,
        frame: Frame,
        dissolves: Collection[int] = (),
    ) -> Footage:
        """The clips one after another; each speech starts with its clip's first frame and is padded to its last.

        A scene dissolves inside its own last frames: there the next one's first picture comes up, and waits.

        The sound is kept without loss (FLAC): it is encoded once, when the video is finished. Raises RenderFailed where
        clips do not fit together or the result is not exactly as long as its parts.
        """
        if not clips or len(clips) != len(speeches):
            raise RenderFailed(
                f"{len(clips)} clips and {len(speeches)} speeches do not make a video: one speech for each clip."
            )
        frames = sum(clip.frames for clip in clips)
        with self.assets.scratch() as folder:
            files = [folder / f"{index:04}.mp4" for index in range(len(clips))]
            tracks = [self._clip(clip, file, frame) for clip, file in zip(clips, files, strict=True)]
            parts: list[Path] = []
            for number, (file, track) in enumerate(zip(files, tracks, strict=True), start=1):
                soft = number in dissolves and number < len(files)
                parts += _dissolved(file, track, files[number], frame) if soft else [file]
            if len({track.setup for track in [*tracks, *(_video(part) for part in parts if part not in files)]}) > 1:
                raise RenderFailed(
                    "The scenes were encoded with different settings. Render them again with one version."
                )
            listing = folder / "list.txt"
            listing.write_text("".join(f"file '{part.name}'\n" for part in parts))
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


def _dissolved(file: Path, track: ffmpeg.VideoTrack, following: Path, frame: Frame) -> list[Path]:
    """The clip in two parts, as many frames as it had: up to a key frame as it is, and encoded again from there on,
    where in the end the first picture of `following` comes up."""
    steps = max(1, min(round(DISSOLVE_S * frame.fps), track.frames // 4))
    cut = max((key for key in track.keys if key <= track.frames - steps), default=0)
    rest = track.frames - cut
    kept, mixed = file.with_name(f"{file.stem}-kept.mp4"), file.with_name(f"{file.stem}-mixed.mp4")
    if cut:
        copied = ["-c", "copy", *ffmpeg.clock(frame.fps), *ffmpeg.BITEXACT]
        ffmpeg.run(["-i", file, "-map", "0:v:0", "-frames:v", str(cut), *copied, kept])
    rate = f"settb=1/{frame.fps},setpts=N,fps={frame.fps}"
    graph = (
        f"[0:v:0]trim=start_frame={cut},{rate}[going];"
        f"[1:v:0]trim=end_frame=1,loop={steps - 1}:1,{rate}[coming];"
        f"[going][coming]xfade=fade:duration={steps / frame.fps:.6f}:offset={(rest - steps) / frame.fps:.6f},"
        f"{ffmpeg.TAGGED}[mixed]"
    )
    ffmpeg.run([
        "-i", file, "-i", following, "-filter_complex", graph, "-map", "[mixed]", *ffmpeg.encoder(frame.fps),
        *ffmpeg.BITEXACT, "-frames:v", str(rest), mixed,
    ])  # fmt: skip
    return [kept, mixed] if cut else [mixed]


def _video(file: Path) -> ffmpeg.VideoTrack:
    track = ffmpeg.probe(file).video
    if track is None:
        raise RenderFailed("A scene lost its picture when it was joined to the next one. Try again.")
    return track
