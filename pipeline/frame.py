"""The picture that is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture's shape, and what is always written on it."""

    width: int
    height: int
    fps: int
    label: str | None = "AI-generated"
