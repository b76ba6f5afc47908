"""The talking portrait: speech becomes a performance, processes draw it, their parts are joined with the sound."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import numpy as np

from pipeline.assets import Asset
from pipeline.errors import OutOfMemory, RenderFailed
from pipeline.frame import Frame
from pipeline.ports import PLAIN, AssetStore, Footage, Insert, Neutral, Staging, Utterance
from pipeline.poses import NEUTRAL
from pipeline.timeline import Cue
from providers.local import cores, ffmpeg, motion
from providers.local.faces import Array
from providers.local.framing import SHOTS
from providers.local.memory import give_back
from providers.local.neutral import person
from providers.local.photo import decode
from providers.local.render import INSERT, Cutaway, Scene, write
from providers.local.stances import STANCES
from providers.local.visemes import RATE, phonemes

MOST_WORKERS = 2  # a machine that runs one job should not be filled by one scene
LEAST_FRAMES = 40  # for which another process is worth its start
FRAME_S = 2.0  # a frame takes 0.03 s; this is for the worst of machines
START_S = 60.0
POLL_S = 0.02  # half a frame: nobody notices
PATIENCE_S = 120.0  # most scenes are drawn in it; who has a core for longer may be stuck, and stops nobody else
ROOT = Path(__file__).resolve().parents[2]


class LocalPortrait:
    name = "local"

    def __init__(self, assets: AssetStore, *, workers: int = MOST_WORKERS) -> None:
        self.assets = assets
        self.workers = max(1, min(workers, cores.count()))

    def speak(
        self, neutral: Neutral, speech: Utterance, *, backdrop: Asset, shot: str, frame: Frame, cues: Sequence[Cue],
        seed: int, staging: Staging = PLAIN,
    ) -> Footage:  # fmt: skip
        """H.264 and AAC in MP4. The same inputs and seed give the same frames, with any number of workers."""
        if shot not in SHOTS:
            raise ValueError(f"no shot {shot!r}: {', '.join(SHOTS)}")
        frames = math.ceil(round(speech.seconds * frame.fps, 6))
        cutout, face = person(neutral, self.assets)
        with self.assets.open(backdrop) as file:
            behind = decode(file)
        with self.assets.open(speech.phonemes) as file:
            spoken = phonemes(json.loads(file.read_text(encoding="utf-8")))
        with self.assets.open(speech.audio) as sound, self.assets.scratch() as folder:
            performance = motion.perform(spoken, frames, frame.fps, loudness=loudness(sound), seed=seed)
            pose = staging.pose or NEUTRAL
            held = motion.hold(performance, STANCES[pose].face, STANCES[pose].head)
            cutaway = self._cutaway(staging.insert, folder, frame)
            scene = Scene(
                cutout, face, behind, held, shot, frame, tuple(cues), pose, cutaway, staging.opens, staging.closes,
                staging.title,
            )  # fmt: skip
            write(scene, folder)
            del cutout, behind, scene  # the renderers have them now
            give_back()
            parts = self._draw(folder, frames, frame)
            clip = _joined(parts, sound, frames, frame, folder)
            made_from = [neutral.cutout or neutral.image, speech.audio, speech.phonemes, backdrop]
            if staging.insert:
                made_from.append(staging.insert.footage.video)
            return self._keep(clip, frames, frame, made_from)

    def _cutaway(self, insert: Insert | None, folder: Path, frame: Frame) -> Cutaway | None:
        if insert is None:
            return None
        with self.assets.open(insert.footage.video) as file:
            shutil.copyfile(file, folder / INSERT)
        first, stop = round(insert.start * frame.fps), round(insert.end * frame.fps)
        return Cutaway(first, stop - first, insert.picture_in_picture, insert.typed)

    def _draw(self, folder: Path, frames: int, frame: Frame) -> list[Path]:
        """The scene's parts, in order, each drawn by a process of its own, at once or in turn as cores are free. How
        many parts there are does not depend on that: the clip stays the same."""
        count = max(1, min(self.workers, frames // LEAST_FRAMES))
        bounds = [frames * i // count for i in range(count + 1)]
        parts = [folder / f"part-{i}.mp4" for i in range(count)]
        waiting = list(zip(parts, bounds, bounds[1:], strict=False))
        running: dict[Path, subprocess.Popen[bytes]] = {}
        held: list[IO[bytes]] = []
        patient_until = monotonic() + PATIENCE_S
        timeout = PATIENCE_S + START_S * count + FRAME_S * frames
        until = monotonic() + timeout
        try:
            while waiting or running:
                if len(held) == len(running) and waiting and (core := cores.take()):
                    held.append(core)
                if waiting and (len(held) > len(running) or monotonic() > patient_until):
                    part, first, stop = waiting.pop(0)
                    running[part] = _renderer(folder, first, stop, part)
                for part in [part for part, process in running.items() if process.poll() is not None]:
                    _check(running.pop(part).returncode, part)
                while not waiting and len(held) > len(running):
                    held.pop().close()
                if monotonic() > until:
                    raise RenderFailed(
                        f"Drawing the frames took longer than {timeout:.0f} s. Try again when the machine is less busy."
                    )
                sleep(POLL_S)
        finally:
            for process in running.values():
                process.kill()
                process.wait()
            for core in held:
                core.close()
        return parts

    def _keep(self, clip: Path, frames: int, frame: Frame, made_from: Sequence[Asset]) -> Footage:
        found = ffmpeg.probe(clip)
        if found.video is None or found.audio is None or found.video.frames != frames:
            raise RenderFailed(f"The clip has {found.video.frames if found.video else 0} frames instead of {frames}.")
        facts = {
            "width": found.video.width, "height": found.video.height, "fps": frame.fps, "frames": found.video.frames,
            "seconds": found.video.frames / frame.fps,
        }  # fmt: skip
        video = self.assets.keep(clip, kind="clip", media_type="video/mp4", facts=facts, made_from=made_from)
        return Footage(video, frames, frames / frame.fps)


def loudness(sound: Path) -> Array:
    """The level of a 16-bit WAV at RATE: 0 silence, 0.5 the speech's usual level, at most 1."""
    with wave.open(str(sound)) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        samples = (
            np.frombuffer(file.readframes(file.getnframes()), np.int16)
            .astype(np.float32)
            .reshape(-1, channels)
            .mean(axis=1)
        )
    window = max(1, int(0.04 * rate))
    power = np.convolve(samples**2, np.ones(window) / window, mode="same")
    at = (np.arange(int(len(samples) / rate * RATE)) * rate / RATE).astype(int)
    level = np.sqrt(power[at]) if len(at) else np.zeros(0)
    voiced = level[level > 0.1 * level.max()] if len(level) and level.max() > 0 else level
    usual = float(np.median(voiced)) if len(voiced) else 1.0
    return np.asarray(np.clip(0.5 * level / max(usual, 1.0), 0, 1))


def _renderer(folder: Path, first: int, stop: int, part: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "OPENBLAS_NUM_THREADS": "1",  # numpy's: its second thread mostly spins
    }
    command = [
        sys.executable, "-m", "providers.local.render", str(folder), str(first), str(stop), str(part), str(os.getpid()),
    ]  # fmt: skip
    with _log(part).open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=environment
        )


def _log(part: Path) -> Path:
    return part.with_suffix(".log")


def _check(status: int, part: Path) -> None:
    if status == -signal.SIGKILL:
        raise OutOfMemory(
            "The renderer was killed, most likely for lack of memory. Use a smaller format, "
            "or fewer processes (AVATAR_PROCESSES, MARKETING_PROCESSES)."
        )
    if status:
        said = _log(part).read_text(encoding="utf-8", errors="replace")
        raise RenderFailed("The frames could not be drawn: " + ffmpeg.last_words(said, 1))


def _joined(parts: Sequence[Path], sound: Path, frames: int, frame: Frame, folder: Path) -> Path:
    """The parts one after the other, not encoded again, with the sound padded to the picture's length."""
    listed = folder / "parts.txt"
    listed.write_text("".join(f"file '{part.name}'\n" for part in parts))
    clip = folder / "clip.mp4"
    seconds = frames / frame.fps
    ffmpeg.run([
        "-f", "concat", "-safe", "0", "-i", listed, "-i", sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy",
        "-af", f"apad=whole_dur={seconds:.6f},atrim=end={seconds:.6f}",
        "-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2",
        *ffmpeg.clock(frame.fps), *ffmpeg.BITEXACT, "-movflags", "+faststart", clip,
    ])  # fmt: skip
    return clip
