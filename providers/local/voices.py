"""Voices by approximate match: no key, no network, and no claim to be the person."""

import functools
from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from pipeline.assets import Asset
from pipeline.errors import SampleTooShort
from pipeline.ports import AssetStore, ClonedVoice, VoiceTraits
from providers.local.match import METHOD, Match, nearer, towards
from providers.local.sound import RATE, decode
from providers.local.speech import recite
from providers.local.traits import measure
from providers.local.voice_sample import MOST_S
from schemas import records as codec

# Statements and a question, slow words and quick ones: half a minute, since figures differ from sentence to sentence.
TEXT = (
    "The morning train was late again, so the whole team walked along the river. Nobody minded the wind. "
    "Our company makes small machines that clean water. They are cheap, they are quiet, and anyone can repair them. "
    "Please read this safety notice carefully: before you open the cabinet, switch off the power. "
    "Would you like to join us? We talk about the new garden, the broken gate, and what to plant before winter. "
    "Last year we delivered four thousand of them to villages in nine countries."
)
SEED = 0
ROUNDS = 2  # after that the figures move by less than they differ from sentence to sentence


class LocalVoices:
    """Moves the stock voice until what is measured on it is what was measured on the samples."""

    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def clone(self, samples: Sequence[Asset], *, name: str) -> ClonedVoice:
        """Raises UnreadableSound, TruncatedSound, SampleTooLong, SampleTooShort."""
        sounds = []
        for sample in samples:
            with self.assets.open(sample) as file:
                sounds.append(decode(file, most_s=MOST_S).voice)
        if not sounds:
            raise SampleTooShort("A voice is made from sounds: give at least one.")
        settings = codec.dump(matched(measure(np.concatenate(sounds), RATE).traits()))
        digest = sha256(repr(sorted(settings.items())).encode()).hexdigest()
        return ClonedVoice(self.name, f"match-{digest[:16]}", METHOD, settings)


def matched(wanted: VoiceTraits) -> Match:
    """By trial: the same measures are taken on the sample and on what came of the last guess."""
    match = towards(wanted, _stock())
    for _ in range(ROUNDS):
        match = nearer(match, wanted, _heard(match))
    return match


@functools.cache
def _stock() -> VoiceTraits:
    return _heard(None)


def _heard(match: Match | None) -> VoiceTraits:
    sound, _, _ = recite(TEXT, SEED, match)
    return measure(sound, RATE).traits()
