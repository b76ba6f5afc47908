"""The figures as Markdown tables."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.aims import judge

NAMES = {
    "celery_postgres": "Celery, PostgreSQL results, poll 1.0 s",
    "celery_postgres_fast": "Celery, PostgreSQL results, poll 0.1 s",
    "celery_redis": "Celery, Redis results",
    "dbos": "DBOS, threads",
    "dbos_async": "DBOS, event loop",
    "likeness": "**Likeness**",
    "likeness_heavy": "Likeness, lip_sync in a message of its own",
}
MET = {True: "met", False: "**not met**", None: "–"}
SERVERS = ("postgresql", "rabbitmq", "redis")


def markdown(run: dict[str, Any]) -> str:
    """All tables of a run."""
    found = run["peers"]
    sections = [_conditions(run)]
    if "likeness" in found:
        sections.append(_aims(found))
    if found:
        sections += [_peers(found), _growth(found), _recovery(found)]
    if run["shares"]:
        sections.append(_shares(run["shares"]))
    return "\n\n".join(sections) + "\n"


def _conditions(run: dict[str, Any]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in run["facts"].items())
    busy = max(run["busy"].values())
    lines = [f"{run['at']}: {facts}. When a turn began, others used at most {busy:.0%} of the machine."]
    lines += [f"Left out: {NAMES.get(peer, peer)}: {why}." for peer, why in run["left_out"].items()]
    return "\n".join(lines)


def _aims(found: dict[str, Any]) -> str:
    rows = [(aim.text, aim.reached, MET[aim.met]) for aim in judge(found)]
    return _table("Aims", ("aim", "reached", ""), rows)


def _peers(found: dict[str, Any]) -> str:
    head = (
        "", "one job, ms", "join, ms: median / p95", "jobs/s", "join in the crowd, ms: median / p95",
        "CPU ms/job: workers", "of servers",
    )  # fmt: skip
    rows = []
    for peer, figures in found.items():
        one, many = figures["latency"], figures["throughput"]
        rows.append(
            (
                NAMES[peer],
                _ms(one["median"]),
                f"{_ms(one['join_median'])} / {_ms(one['join_p95'])}",
                f"{many['jobs_per_s']:.1f}",
                f"{_ms(many['join_median'])} / {_ms(many['join_p95'])}",
                _ms(many["cpu"]["workers"]),
                ", ".join(f"{name} {_ms(many['cpu'][name])}" for name in SERVERS if many["cpu"].get(name, 0) > 0.001),
            )
        )
    jobs = next(iter(found.values()))["throughput"]["jobs"]
    return _table(f"Side by side: one job of 22 steps, and {jobs} at once", head, rows)


def _growth(found: dict[str, Any]) -> str:
    scenes = _sorted(each["scenes"] for figures in found.values() for each in figures["scenes"])
    jobs = _sorted(each["jobs"] for figures in found.values() for each in figures["jobs"])
    head = ("", *(f"{count} scenes, ms" for count in scenes), *(f"{count} jobs, jobs/s" for count in jobs))
    rows = []
    for peer, figures in found.items():
        of_scenes = {each["scenes"]: _ms(each["median"]) for each in figures["scenes"]}
        of_jobs = {each["jobs"]: f"{each['jobs_per_s']:.1f}" for each in figures["jobs"]}
        cells = [*(of_scenes.get(count, "") for count in scenes), *(of_jobs.get(count, "") for count in jobs)]
        rows.append((NAMES[peer], *cells))
    return _table("Growth: latency of one larger job, and jobs/s of more jobs", head, rows)


def _recovery(found: dict[str, Any]) -> str:
    head = ("", "undisturbed, s", "killed, s", "more, s", "bodies run again", "recorded twice", "jobs lost")
    rows = []
    for peer, figures in found.items():
        killed = figures["recovery"]
        twice = killed["recorded_twice"]
        rows.append(
            (
                NAMES[peer],
                f"{killed['ideal']:.1f}",
                "–" if killed["seconds"] is None else f"{killed['seconds']:.1f}",
                "–" if killed["over"] is None else f"{killed['over']:+.1f}",
                str(killed["again"]),
                "?" if twice is None else str(twice),
                str(killed["lost"]),
            )
        )
    jobs = next(iter(found.values()))["recovery"]["jobs"]
    return _table(f"SIGKILL of all workers with {jobs} jobs in flight, workers started again at once", head, rows)


PARTS = {
    "statements": "what is asked of the database",
    "commits": "what is written, in one message with its commit",
    "messages": "messages",
    "confirmations": "waiting for their confirmations",
    "monitoring events": "monitoring events for Flower",
    "likeness": "Likeness's own Python, SQLAlchemy included",
    "celery": "Celery in the pool process",
}


def _shares(shares: dict[str, Any]) -> str:
    rows = [
        (
            said,
            f"{part['count']:.2f}",
            f"{_fine(part['wall'])}",
            f"{_fine(part['cpu'])}",
            f"{part['wall'] / shares['step']:.0%}",
        )
        for name, said in PARTS.items()
        if (part := shares["parts"].get(name))
    ]
    rows.append(("**one step**", "", f"**{_fine(shares['step'])}**", "", "100%"))
    floor = shares["floor_of_step"]
    rows.append(
        ("the floor: two commits and one confirmed message", "", _fine(floor), "", f"{shares['ratio']:.1f} floors")
    )
    rows += [(f"beside it: {name}", "", "", _fine(cpu), "") for name, cpu in shares["outside"].items()]
    parts = _table("Where the time of one step goes", ("", "times", "ms", "CPU ms", "share"), rows)
    return f"{parts}\n\n{_floor(shares['floor'])}"


def _floor(floor: dict[str, float]) -> str:
    said = {
        "commits": "commits of one inserted row, one connection",
        "commits_at_once": "the same, eight connections",
        "updates": "commits of an insert and an update, one connection",
        "updates_at_once": "the same, eight connections",
        "publishes": "confirmed messages to a quorum queue, one by one",
        "passed_on": "the same, each taken and acknowledged before the next",
    }
    return _table(
        "The floor of this machine", ("", "a second"), [(said[name], f"{rate:.0f}") for name, rate in floor.items()]
    )


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"### {title}", "", _row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _sorted(counts: Iterable[int]) -> list[int]:
    return sorted(set(counts))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}" if seconds >= 0.02 else f"{seconds * 1000:.1f}"


def _fine(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"
