"""`python -m benchmarks.gallery`: every route in each shape, by the demo's service, as pictures and a page in docs.

Videos stay in var/gallery. The times are those of the stages' records, on this machine as busy as it was.
"""

import argparse
import json
import os
import tempfile
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from benchmarks import contact_sheet
from benchmarks.exhibits import EXHIBITS, Exhibit, Format
from pipeline.graph import draw
from pipeline.routes import ROUTES
from providers.local.sample import NAMES_FROM, nameless, portrait
from tests.recordings import person
from webapp.cli.api import Api
from webapp.cli.child import Credentials, Failed, alone, environment, serving
from webapp.cli.clients import made_secret, made_token
from webapp.cli.demo import avatar_payload
from webapp.cli.download import save
from webapp.cli.inbox import Inbox
from webapp.cli.receive import listening
from webapp.cli.watch import follow, told
from webapp.cli.witness import Witness

FOLDER, PAGES = Path("var/gallery"), Path("docs/gallery")
ORDER = ("avatar_creation", "voice_cloning", *(each.route for each in EXHIBITS))
UPRIGHT = 90, 340  # columns of the sample portrait that make a tall photo


@dataclass(frozen=True, slots=True)
class Made:
    """A finished job: its name on the page, the stages that ran with their seconds, and what it made."""

    title: str
    stages: dict[str, float]
    took_s: float
    video_s: float | None
    picture: Path | None


class Reviewer(Api):
    """Who looks at a job that waits at a gate approves it."""

    def job(self, job_id: str) -> dict[str, Any]:
        found = super().job(job_id)
        if gate := found["gate"]:
            decision = {"contract": "job.approve/1", "gate": gate["name"], "decision": "approve",
                        "digest": gate["digest"]}  # fmt: skip
            key = {"Idempotency-Key": f"{job_id}-{gate['name']}-{gate['round']}"}
            self._ask("POST", f"/v1/jobs/{job_id}/approvals", json=decision, headers=key)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ORDER, metavar="ROUTE", help="some of: %(choices)s")
    wanted = parser.parse_args().only or ORDER
    PAGES.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(alone(FOLDER))
        kept = FOLDER / "sections.json"
        sections: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
        photos = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="likeness-gallery-")))
        api = _service(stack)
        for route, section in _rendered(api, wanted, photos):
            sections[route] = section
            kept.write_text(json.dumps(sections))
    (PAGES / "README.md").write_text(_page([sections[route] for route in ORDER if route in sections]))


def _rendered(api: Api, wanted: Collection[str], photos: Path) -> Iterator[tuple[str, str]]:
    """Each wanted route with its part of the page."""
    avatar, job = _made(api, "avatars", avatar_payload(str(api.upload(nameless(photos))["id"])), "avatar")
    if "avatar_creation" in wanted:
        yield "avatar_creation", _section("avatar_creation", "A photo becomes an avatar.", [avatar])
    if "voice_cloning" in wanted:
        sample = api.upload(person(photos / "sample.wav", semitones=-6, pace=0.88))
        voice, _ = _made(api, "voices", _voice(str(sample["id"])), "voice")
        yield "voice_cloning", _section("voice_cloning", "A sample becomes a voice: an approximate match.", [voice])
    upright = str(api.upload(_upright(photos / "upright.png"))["id"])
    for exhibit in EXHIBITS:
        if exhibit.route in wanted:
            found = [_shown(api, exhibit, shape, job["result"]["avatar_id"], upright) for shape in exhibit.formats]
            yield exhibit.route, _section(exhibit.route, exhibit.about, found)


def _service(stack: ExitStack) -> Api:
    credentials, witness = Credentials(made_token(), made_secret()), Witness()
    callback_url = stack.enter_context(listening(Inbox([credentials.secret]), witness.hear))
    url = stack.enter_context(serving(FOLDER, environment(credentials, callback_url)))
    return Reviewer(url, credentials.token, direct=True)


def _voice(sample: str) -> dict[str, Any]:
    payload = avatar_payload(sample)
    said = "The sample is synthetic itself: the stock voice at another pitch and pace."
    return payload | {
        "contract": "voice.clone/1",
        "inputs": {"voice_sample": {"asset_id": sample}},
        "consent": payload["consent"] | {"statement": said},
    }


def _upright(file: Path) -> Path:
    """A tall photo with the face near its top, as most portraits are."""
    with Image.open(portrait()) as picture:
        picture.crop((UPRIGHT[0], 0, UPRIGHT[1], NAMES_FROM)).save(file)
    return file


def _shown(api: Api, exhibit: Exhibit, shape: Format, avatar_id: str, photo: str) -> Made:
    asked = dict(exhibit.asked(photo))
    output = {"width": shape.width, "height": shape.height, "background": "a bright office"} | asked.pop("output", {})
    # each makes all of its own: what is taken from another job takes no time
    fresh = {"contract": "output.generate/1", "avatar_id": avatar_id, "seed": 7, "reuse": False}
    payload = fresh | {"output": output} | asked
    name = f"{exhibit.route}-{shape.name.replace(':', 'x')}" + ("-1080p" if shape.width == 1920 else "")
    made, job = _made(api, "outputs", payload, name, shape.title)
    if job["route"] != exhibit.route:
        raise Failed(f"{exhibit.route} was asked for, and {job['route']} ran")
    return made


def _made(api: Api, call: str, payload: Mapping[str, Any], name: str, title: str = "") -> tuple[Made, dict[str, Any]]:
    """Submit, follow to the end, keep the files and their picture. Raises Failed where it is not completed."""
    console = Console(highlight=False)
    console.print(f"\n[bold]{name}[/]")
    job = follow(api, api.submit(call, payload, f"gallery-{uuid.uuid4()}")[0]["id"], console)
    if job["status"] != "completed":
        raise Failed("\n".join(told(job)))
    files = {file.stem: file for file in save(api, job, FOLDER / name)}
    picture = PAGES / f"{name}.jpg"
    if "video" in files:
        contact_sheet.sheet(files["video"], picture)
    elif "character_sheet" in files:
        with Image.open(files["character_sheet"]) as image:
            image.thumbnail((900, 900))
            contact_sheet.keep(image, picture)
    stages = {each["key"]: _seconds(each) for each in api.stages(job["id"]) if each["started_at"]}
    result = job["result"]
    return Made(
        title, stages, _seconds(job), result.get("duration_s"), picture if picture.exists() else None
    ), job  # fmt: skip


def _seconds(record: Mapping[str, Any]) -> float:
    start, end = (datetime.fromisoformat(record[name]) for name in ("started_at", "finished_at"))
    return (end - start).total_seconds()


def _section(route: str, about: str, found: Sequence[Made]) -> str:
    lines = [f"## {route}", "", about, "", "```", draw(ROUTES[route]), "```", ""]
    titles = " | ".join(made.title or "took" for made in found)
    lines += [f"| stage, seconds | {titles} |", "|---" * (len(found) + 1) + "|"]
    lines += [f"| `{key}` | {' | '.join(f'{made.stages[key]:.1f}' for made in found)} |" for key in found[0].stages]
    lines.append(f"| **whole job** | {' | '.join(f'{made.took_s:.1f}' for made in found)} |")
    if found[0].video_s:
        lines.append(f"| video | {' | '.join(f'{made.video_s:.1f}' for made in found)} |")
        ratios = (f"{(made.video_s or 0) / made.took_s:.2f}" for made in found)
        lines.append(f"| video seconds per second of work | {' | '.join(ratios)} |")
    for made in found:
        if made.picture:
            lines += ["", f"{made.title}:"] if made.title else []
            lines += ["", f"![{route} {made.title}]({made.picture.name})"]
    return "\n".join(lines)


def _page(sections: Sequence[str]) -> str:
    day, load = datetime.now(UTC).date().isoformat(), os.getloadavg()[2]
    head = f"""# Gallery

What each route makes, by the local family: no vendor, no key, no network. `make gallery` makes this page anew.

Made on {day}, on {os.cpu_count()} processors. The seconds are those between a stage's start and its end in its record;
stages side by side share the machine, and whatever else runs on it: in the last minutes {load:.0f} processes wanted a
processor. The portrait is in the public domain (NASA) and goes under an invented name."""
    return "\n\n".join([head, *sections]) + "\n"


if __name__ == "__main__":
    main()
