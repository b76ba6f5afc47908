"""Identifiers: a prefix that says what it is, and 26 letters that sort by time of birth."""

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, as in ULID
RANDOM_BITS = 80


def new(prefix: str) -> str:
    return _spell(prefix, time.time(), secrets.randbits(RANDOM_BITS))


def floor(prefix: str, born: float) -> str:
    """Ids from this one on were born at this Unix time or later."""
    return _spell(prefix, born, 0)


def _spell(prefix: str, born: float, chance: int) -> str:
    number = int(born * 1000) << RANDOM_BITS | chance
    letters = "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
    return f"{prefix}_{letters}"
