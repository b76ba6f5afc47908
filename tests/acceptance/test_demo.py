"""`likeness demo`, as a newcomer runs it: a real video of the sample portrait, in an empty folder, and nothing else."""

import fcntl
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from providers.local import ffmpeg
from tests.command import LIKENESS

PROJECT = Path(__file__).parents[2]


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """As from a shell where another installation's settings are set: the demo must not use them."""
    misleading = {"LIKENESS_DATABASE_URL": "postgresql://nowhere/x", "LIKENESS_PROVIDERS": '{"speech": ["costly"]}'}
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.Popen(
        [*LIKENESS, "demo", "--fast", "--dir", "made", *words],
        cwd=folder, env=os.environ | misleading | {"PYTHONPATH": path}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def left_behind(folder: Path) -> list[str]:
    """Processes that still work in the folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or ()), process.info["cwd"] or ""]
        if process.pid != os.getpid() and any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished demo, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    with start(folder) as process:
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said + (folder / "made/log.jsonl").read_text()[-3000:]
    return folder, said


def test_it_ends_well_and_leaves_nothing_running(made: tuple[Path, str]) -> None:
    folder, said = made
    for file in ("video.mp4", "captions.vtt", "captions.srt", "character_sheet.png", "thumbnail.jpg"):
        assert f"made/{file}" in said
        assert (folder / "made" / file).stat().st_size > 0
    assert re.search(r"avatar [0-9.]+ s, video [0-9.]+ s, first call to last file [0-9.]+ s", said)
    assert left_behind(folder) == []


def test_the_callbacks_were_verified_and_complete(made: tuple[Path, str]) -> None:
    _, said = made
    count = re.search(r"(\d+) callbacks received; each signature verified, each sequence without a gap", said)
    assert count is not None
    assert int(count[1]) > 10


def test_the_video_is_what_players_take_and_as_long_as_its_speech(made: tuple[Path, str]) -> None:
    folder, _ = made
    media = ffmpeg.probe(folder / "made/video.mp4")
    assert media.video is not None
    assert media.audio is not None
    picture, sound = media.video, media.audio
    assert (picture.codec, picture.profile, picture.pixels, picture.fps) == ("h264", "High", "yuv420p", 25.0)
    assert (picture.width, picture.height, picture.even) == (640, 360, True)
    assert (sound.codec, sound.sample_rate) == ("aac", 48000)
    timeline = json.loads((folder / "made/timeline.json").read_text())
    assert len(timeline["scenes"]) == 2
    spoken = timeline["scenes"][-1]["end_s"]
    assert spoken > 3.0
    assert picture.end - picture.start == pytest.approx(spoken, abs=0.04)
    assert sound.end - sound.start == pytest.approx(spoken, abs=0.1)
    captions = (folder / "made/captions.vtt").read_text()
    assert captions.startswith("WEBVTT")
    assert "synthetic demo" in captions.replace("\n", " ")


def test_its_log_holds_no_secret_and_the_screen_no_log(made: tuple[Path, str]) -> None:
    folder, said = made
    log = (folder / "made/log.jsonl").read_text()
    assert "whsec_" not in log + said
    assert "lkn_" not in log + said
    assert "Traceback" not in log + said
    assert '"event"' not in said


@pytest.mark.parametrize(
    ("how", "during"),
    [(signal.SIGINT, "lip_sync"), (signal.SIGTERM, "neutral_image"), (signal.SIGKILL, "neutral_image")],
)
def test_it_can_be_stopped_in_the_middle_and_leaves_no_process(
    tmp_path: Path, how: signal.Signals, during: str
) -> None:
    with start(tmp_path) as process:
        assert process.stdout is not None
        said = ""
        # A loaded machine may look at the job only when the step is over.
        while not re.search(f"{during} (running|succeeded)", line := process.stdout.readline()):
            assert line, f"it ended by itself: {said}"
            said += line
        process.send_signal(how)
        said, _ = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert "nothing is left running" in said
    end = time.monotonic() + 30
    while (left := left_behind(tmp_path)) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with (tmp_path / "made/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start(tmp_path) as process:
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another demo runs in made" in said
