"""Whether somebody can be heard on a sample, clearly and long enough to make a voice of it."""

import numpy as np

from pipeline.assets import Asset
from pipeline.errors import ClippedSample, NoisySample, NoSpeech, SampleTooShort, SilentSample
from pipeline.ports import AssetStore, SampleReport
from providers.local.sound import RATE, Sound, decode
from providers.local.traits import Measured, measure

LEAST_S, MOST_S = 10.0, 300.0
LEAST_SPEECH_S = 6.0
SILENT_DBFS = -50.0  # of the loudest tenth of a second or so
CEILING = 0.9985  # of the loudest sample: a wave that is cut off stays there
FLAT = 3  # samples in a row
CLIPPED = 0.002  # of all samples: heard as distortion
VOICED = (0.15, 0.97)  # vowels and consonants: noise has less, an instrument more
SYLLABLES_PER_S = (1.0, 10.0)
LEAST_SPREAD_ST = 0.4  # nobody speaks on one note; machines of long ago came near
LEAST_SNR_DB = 12.0


class LocalSample:
    """Says what is wrong first that the speaker can mend first."""

    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def listen(self, sample: Asset) -> SampleReport:
        with self.assets.open(sample) as file:
            sound = decode(file, most_s=MOST_S)
        return judge(sound)


def judge(sound: Sound) -> SampleReport:
    """Raises SampleTooShort, SilentSample, ClippedSample, NoSpeech, NoisySample."""
    if sound.seconds < LEAST_S:
        raise SampleTooShort(
            f"The sample lasts {sound.seconds:.1f} s; at least {LEAST_S:.0f} s are needed. Record half a minute.",
            seconds=round(sound.seconds, 2), limit=LEAST_S,
        )  # fmt: skip
    measured = measure(sound.voice, RATE)
    loudest = float(np.percentile(measured.level_db, 99))
    if loudest < SILENT_DBFS:
        raise SilentSample(
            "The sample is silent. Check the microphone and record again.",
            loudest_dbfs=round(loudest, 1), limit=SILENT_DBFS,
        )  # fmt: skip
    share = clipped(sound.raw)
    if share > CLIPPED:
        raise ClippedSample(
            f"The sample was recorded too loud: {share:.1%} of it is cut off. Turn the microphone down.",
            clipped=round(share, 5), limit=CLIPPED,
        )  # fmt: skip
    _expect_speech(measured)
    if measured.snr_db < LEAST_SNR_DB:
        raise NoisySample(
            f"The speech is only {measured.snr_db:.0f} dB above the noise. Record in a quiet room, close by.",
            snr_db=round(measured.snr_db, 1), limit=LEAST_SNR_DB,
        )  # fmt: skip
    return SampleReport(
        seconds=round(sound.seconds, 3),
        speech_seconds=round(measured.speech_s, 2),
        sample_rate=sound.rate,
        channels=sound.channels,
        peak_dbfs=round(20 * float(np.log10(np.abs(sound.raw).max())), 2),
        snr_db=round(measured.snr_db, 1),
        clipped=round(share, 5),
        traits=measured.traits(),
    )


def clipped(raw: np.ndarray) -> float:
    """The share of the samples that stay at the ceiling: a wave that was not cut off turns there."""
    level = np.abs(raw)
    high = level >= CEILING * max(float(level.max()), 1e-6)
    flat = np.convolve(high, np.ones(FLAT), "same") >= FLAT
    return float(flat.mean())


def _expect_speech(measured: Measured) -> None:
    facts = {
        "speech_seconds": round(measured.speech_s, 2),
        "voiced": round(measured.voiced_share, 3),
        "syllables_per_s": round(measured.syllables_per_s, 2),
        "pitch_spread_st": round(measured.pitch_spread_st, 2),
    }
    if (
        VOICED[0] <= measured.voiced_share <= VOICED[1]
        and SYLLABLES_PER_S[0] <= measured.syllables_per_s <= SYLLABLES_PER_S[1]
        and measured.pitch_spread_st >= LEAST_SPREAD_ST
    ):
        if measured.speech_s >= LEAST_SPEECH_S:
            return
        raise NoSpeech(
            f"Somebody speaks for {measured.speech_s:.1f} s only; {LEAST_SPEECH_S:.0f} s are needed. Record more.",
            limit=LEAST_SPEECH_S, **facts,
        )  # fmt: skip
    raise NoSpeech("Nobody is heard speaking. Record one person, without music.", limit=LEAST_SPEECH_S, **facts)
