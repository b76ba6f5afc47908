"""The pitch of a voice by YIN (de Cheveigné and Kawahara, 2002): autocorrelation that is not fooled by octaves."""

import numpy as np

HOP_S = 0.01
LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
WINDOW_S = 0.03
APERIODIC = 0.2  # of the normalised difference: above it no pitch is heard
SILENCE = 1e-9  # of the summed difference: digital silence is equal to itself at every lag
BATCH = 2048
NEAR = (0.6, 1.7)  # of the median: what lies beyond is an octave error, or creak


def track(sound: np.ndarray, rate: int) -> np.ndarray:
    """Hz for every 10 ms, 0 where nothing periodic is heard."""
    half = np.convolve(sound, [0.25, 0.5, 0.25], "same")[::2].astype(np.float32)  # every pitch is below 500 Hz
    found = _yin(half, rate / 2)
    voiced = found[found > 0]
    if len(voiced):
        middle = float(np.median(voiced))
        found[(found < middle * NEAR[0]) | (found > middle * NEAR[1])] = 0
    return found


def _yin(sound: np.ndarray, rate: float) -> np.ndarray:
    window, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    least, most = int(rate / HIGHEST_HZ), int(rate / LOWEST_HZ) + 1
    length = window + most + 1
    padded = np.pad(sound, (length // 2, length))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[: max(len(sound), 1) : hop]
    return np.concatenate(
        [_pitch(frames[at : at + BATCH], window, least, most, rate) for at in range(0, len(frames), BATCH)]
    )


def _pitch(frames: np.ndarray, window: int, least: int, most: int, rate: float) -> np.ndarray:
    size = 1 << (frames.shape[1] - 1).bit_length()
    spectrum = np.fft.rfft(frames, size)
    head = np.fft.rfft(frames[:, :window], size)
    alike = np.fft.irfft(head.conj() * spectrum, size)[:, : most + 1]
    energy = np.cumsum(np.pad(frames.astype(np.float64) ** 2, ((0, 0), (1, 0))), axis=1)
    shifted = energy[:, window : window + most + 1] - energy[:, : most + 1]
    difference = np.maximum(shifted[:, :1] + shifted - 2 * alike, 0)
    lags = np.arange(1, most + 1)
    total = np.cumsum(difference[:, 1:], axis=1)
    normal = np.ones_like(difference)
    normal[:, 1:] = np.where(total > SILENCE, difference[:, 1:] * lags / np.maximum(total, SILENCE), 1)
    rising = normal[:, least + 1 : most] <= normal[:, least + 2 : most + 1]
    deep = normal[:, least + 1 : most] < APERIODIC
    dips = rising & deep & (normal[:, least + 1 : most] <= normal[:, least : most - 1])
    lag = np.argmax(dips, axis=1) + least + 1
    rows = np.arange(len(frames))
    before, at, after = (normal[rows, lag + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    nudge = np.where(bend > 1e-9, (before - after) / np.where(bend > 1e-9, 2 * bend, 1), 0)
    return np.where(dips.any(axis=1), rate / (lag + nudge), 0.0)
