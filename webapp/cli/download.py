"""Bringing a job's files: each under the name of what it is."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from webapp.cli.api import Api, Away

ENDINGS = {
    "video/mp4": ".mp4",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "text/vtt": ".vtt",
    "application/x-subrip": ".srt",
    "application/json": ".json",
    "audio/wav": ".wav",
}


def save(api: Api, job: Mapping[str, Any], folder: Path) -> list[Path]:
    """Download every file of a completed job's result, but for the scenes'; each is checked against its sha256."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_save(api, asset, folder, name) for name, asset in assets(job.get("result") or {})]
    except OSError as error:
        raise click.ClickException(f"cannot write in {folder}: {error.strerror}") from error


def assets(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """`captions.vtt` and `captions.srt` are both named `captions`: their endings tell them apart."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for name, value in result.items():
        if isinstance(value, dict):
            found += [(name, value)] if "sha256" in value else [(name, inner) for _, inner in assets(value)]
    return found


def _save(api: Api, asset: Mapping[str, Any], folder: Path, name: str) -> Path:
    file = folder / f"{name}{ENDINGS.get(asset['media_type'].partition(';')[0], '')}"
    api.download(asset["id"], file)
    with file.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != asset["sha256"]:
            file.unlink()
            raise Away(f"{file.name} came damaged: try again")
    return file
