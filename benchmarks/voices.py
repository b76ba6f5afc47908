"""How near an approximate voice match comes to people and words that nobody chose it by.

Sixteen samples: eight people (the stock voice, recorded at another pitch and pace by ffmpeg), two texts. Each match
says the sample's own words, and others that the same person says as well. Prints by how much pitch, counted syllables a
second and whole length differ from the person's. About three minutes.
"""

import statistics
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from pipeline.ports import ClonedVoice
from providers.local.sound import RATE, decode
from providers.local.speech import LocalSpeech
from providers.local.traits import Measured, measure
from providers.local.voices import LocalVoices
from tests.recordings import person
from tests.shelf import FolderStore

PEOPLE = [(-5, 0.9), (2, 1.1), (-10, 1.0), (6, 0.95), (0, 1.2), (0, 0.8), (-2, 1.25), (3, 0.85)]
TEXTS = (
    "Yesterday evening the two of us walked along the river and talked about the garden. "
    "The roses had suffered from the frost, but the apple trees were full of buds. "
    "My neighbour says that a good summer begins with a wet spring, and she has been right before.",
    "To install the printer, open the lid and remove the orange tape. "
    "Press the power button for three seconds until the light turns blue. "
    "Then choose your network from the list, type the password, and wait for the test page. "
    "It takes about two minutes.",
)
FIGURES = ("pitch", "syllables a second", "length")
NEAR = 0.1


def main() -> None:
    same: list[Sequence[float]] = []
    other: list[Sequence[float]] = []
    with tempfile.TemporaryDirectory(prefix="likeness-bench-") as folder:
        store = FolderStore(Path(folder) / "store")
        for (semitones, pace), sampled in product(PEOPLE, TEXTS):
            files = {text: Path(folder) / f"{semitones}-{pace}-{number}.wav" for number, text in enumerate(TEXTS)}
            for text, file in files.items():
                person(file, semitones=semitones, pace=pace, text=text)
            sample = store.keep(files[sampled], kind="voice_sample", media_type="audio/wav")
            voice = LocalVoices(store).clone([sample], name="somebody")
            for text, file in files.items():
                found = differences(_spoken(store, text, voice), measure(decode(file, most_s=300).voice, RATE))
                (same if text is sampled else other).append(found)
                words = "the same words" if text is sampled else "other words"
                print(f"{semitones:+3d} semitones, pace {pace:.2f}, {words:14}", *(f"{each:+6.1%}" for each in found))
    for words, found in (("the sample's words", same), ("other words", other)):
        for name, values in zip(FIGURES, zip(*found, strict=True), strict=True):
            print(f"{words}: {name:18} {told([abs(value) for value in values])}")


def differences(heard: Measured, theirs: Measured) -> Sequence[float]:
    """Shares by which the match differs, in the order of FIGURES."""
    return (
        heard.pitch_hz / theirs.pitch_hz - 1,
        heard.syllables_per_s / theirs.syllables_per_s - 1,
        len(heard.level_db) / len(theirs.level_db) - 1,
    )


def told(values: Sequence[float]) -> str:
    near = sum(value <= NEAR for value in values)
    return f"median {statistics.median(values):.1%}, most {max(values):.1%}, {near} of {len(values)} within {NEAR:.0%}"


def _spoken(store: FolderStore, text: str, voice: ClonedVoice) -> Measured:
    said = LocalSpeech(store).speak(text, voice, seed=5)
    with store.open(said.audio) as file:
        return measure(decode(file, most_s=300).voice, RATE)


if __name__ == "__main__":
    main()
