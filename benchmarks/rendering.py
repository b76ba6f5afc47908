"""How fast the local family renders: seconds of 720p video per CPU-second, beside the encoder alone on the same frames.

CPU-seconds are user and system time of this process and all its children, so
that a busy machine changes them little. The ratio to the bare encoder is what
can be compared between machines.
"""

import resource
import subprocess
import tempfile
import time
from pathlib import Path

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.timeline import cues
from providers.local import ffmpeg
from providers.local.background import LocalBackground
from providers.local.lip_sync import LocalPortrait
from providers.local.neutral import LocalNeutral
from providers.local.sample import portrait
from providers.local.speech import LocalSpeech
from tests.shelf import FolderStore

FRAME = Frame(1280, 720, 25)
TEXT = (
    "This is a synthetic demo. Maybe you wonder how much work it is to make a portrait speak. "
    "Every frame is drawn anew: the lips, the teeth, the eyes and the head all move, "
    "and the background stays where it was. How fast is that?"
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="likeness-bench-") as folder:
        store = FolderStore(Path(folder) / "assets")
        neutral = LocalNeutral(store).neutral(_keep(store, portrait()), background="#20242c")
        speech = LocalSpeech(store).speak(TEXT, seed=7)
        backdrop = LocalBackground(store).paint("a bright office", width=FRAME.width, height=FRAME.height, seed=7)
        captions = cues(speech.words, until=speech.seconds)
        wall, cpu = time.perf_counter(), _cpu()
        clip = LocalPortrait(store).speak(
            neutral, speech, backdrop=backdrop, shot="medium", frame=FRAME, cues=captions, seed=7
        )
        wall, cpu = time.perf_counter() - wall, _cpu() - cpu
        with store.open(clip.video) as video:
            encoder = _encode(video, Path(folder))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"video            {clip.seconds:6.1f} s, {clip.frames} frames of {FRAME.width}x{FRAME.height}")
        print(f"rendered in      {wall:6.1f} s wall, {cpu:.1f} CPU-s: {clip.seconds / cpu:.2f} s of video per CPU-s")
        print(f"encoder alone    {encoder:6.1f} CPU-s: {clip.seconds / encoder:.2f} s of video per CPU-s")
        print(f"ratio            {cpu / encoder:6.1f} times the encoder; {1000 * cpu / clip.frames:.1f} CPU-ms a frame")
        print(f"largest child    {peak:6.0f} MiB")


def _keep(store: FolderStore, file: Path) -> Asset:
    return store.keep(file, kind="photo", media_type="image/png")


def _encode(video: Path, folder: Path) -> float:
    """CPU-seconds to encode the video's own frames again, with the settings of the renderer."""
    raw = folder / "frames.yuv"
    decode = [ffmpeg.executable(), "-v", "error", "-i", video, "-f", "rawvideo", "-pix_fmt", "yuv420p", raw]
    subprocess.run(decode, check=True)
    size = f"{FRAME.width}x{FRAME.height}"
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", str(FRAME.fps), "-i", raw]
    before = _cpu()
    encode = [ffmpeg.executable(), "-v", "error", *source, *ffmpeg.video(FRAME.fps), "-threads", "1", "-f", "null", "-"]
    subprocess.run(encode, check=True)
    return _cpu() - before


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
