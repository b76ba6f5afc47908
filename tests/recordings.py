"""Samples of people speaking, as uploads are: the stock voice, recorded at another pitch and pace by ffmpeg."""

import functools
from pathlib import Path

import numpy as np

from providers.local import ffmpeg
from providers.local.speech import RATE, recite, write_wav

SAID = (
    "Last spring I moved to a small town by the sea, and I have not regretted it for a day. The people are friendly. "
    "Every Sunday there is a market where you can buy bread, fish and flowers. "
    "In the evening we sit on the wall, look at the boats, and talk about nothing in particular."
)
WORDS_OF_A_JOB = (
    "Welcome to our new office. In this short video I will show you where everything is, and whom you can ask. "
    "The kitchen is on the second floor, next to the stairs. If you have a question, just knock on any door."
)


@functools.cache
def stock(text: str = SAID) -> np.ndarray:
    sound, _, _ = recite(text, 3)
    sound.setflags(write=False)
    return sound


def person(file: Path, *, semitones: float, pace: float, text: str = SAID) -> Path:
    """Pitch, formants and all are moved together, as no setting of the vocoder does; the suffix says the format."""
    ratio = 2 ** (semitones / 12)
    return recorded(file, stock(text), f"asetrate={round(RATE * ratio)},aresample={RATE},atempo={pace / ratio}")


def recorded(file: Path, sound: np.ndarray, through: str = "anull", *options: str) -> Path:
    plain = write_wav(file.with_suffix(".plain.wav"), sound)
    ffmpeg.run(["-i", plain, "-af", through, *options, file])
    plain.unlink()
    return file
