"""Where an asset comes from and what became of it: the whole graph, both ways."""

from typing import Any

import pytest

from db.assets import NewAsset, add
from pipeline.assets import Asset
from providers.local.sample import nameless
from schemas.assets import MOST_RELATED
from tests.api import Api, code, flaws, payload
from tests.workshop import Workshop


@pytest.fixture
def workshop(api: Api) -> Workshop:
    return Workshop.of(api)


@pytest.fixture
def local(api: Api) -> Workshop:
    return Workshop.of(api, "local")


def lineage(api: Api, asset_id: str) -> dict[str, Any]:
    answer = api.product.get(f"/v1/assets/{asset_id}?lineage=full")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()["lineage"]
    return found


def kinds(found: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in found["nodes"]:
        counts[node["kind"]] = counts.get(node["kind"], 0) + 1
    return counts


def by_kind(found: dict[str, Any]) -> set[tuple[str, str]]:
    """The edges, each as the kinds of its source and of what was made from it."""
    names = {node["id"]: node["kind"] for node in found["nodes"]}
    return {(names[edge["source"]], names[edge["made"]]) for edge in found["edges"]}


def keep(api: Api, name: str, *sources: str, client: str = "product") -> str:
    made = NewAsset(asset(name), {}, tuple(f"ast_{source}" for source in sources))
    with api.database.transaction() as session:
        add(session, [made], client=client)
    return made.asset.id


def asset(name: str) -> Asset:
    return Asset(f"ast_{name}", "thing", "image/png", 1, "0" * 64)


@pytest.mark.slow
def test_from_the_film_to_the_photo_and_back(
    api: Api, local: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The real thing: every stage of the local family tells what it made its files from."""
    photo = local.upload(api.product, nameless(tmp_path_factory.mktemp("photo")).read_bytes())
    avatar = local.avatar(api.product, photo)
    small = payload("output.generate/1")["output"] | {"width": 320, "height": 320, "captions": "sidecar"}
    job = local.video(api.product, avatar, "Good morning. This is one sentence more.", output=small)
    assert job.result is not None
    scenes = len(job.result["scenes"])

    up = lineage(api, job.result["video"]["id"])
    assert kinds(up) == {
        "photo": 1, "cutout": 1, "background": scenes, "speech": scenes, "phonemes": scenes, "clip": scenes, "cut": 1,
        "video": 1, "thumbnail": 1,
    }  # fmt: skip
    assert by_kind(up) == {
        ("photo", "cutout"), ("cutout", "clip"), ("background", "clip"), ("speech", "clip"), ("phonemes", "clip"),
        ("speech", "phonemes"), ("clip", "cut"), ("speech", "cut"), ("cut", "video"), ("video", "thumbnail"),
    }  # fmt: skip
    assert not up["truncated"]

    down = lineage(api, photo)
    assert kinds(down) == {
        "photo": 1, "neutral_image": 1, "cutout": 1, "character_sheet": 1, "clip": scenes, "cut": 1, "video": 1,
        "thumbnail": 1, "timeline": 1,
    }  # fmt: skip
    film = next(node for node in down["nodes"] if node["kind"] == "video")
    assert (film["id"], film["job_id"], film["step"], film["attempt"]) == (
        job.result["video"]["id"], job.id, "enhance", 1,
    )  # fmt: skip
    for captions in job.result["captions"].values():
        assert by_kind(lineage(api, captions["id"])) == {("speech", "captions")}
    # whatever the two jobs made hangs together: nothing but what comes from words alone has no source
    made = local.made_by(job.id)
    roots = {row.kind for row in made if not api.product.get(f"/v1/assets/{row.id}").get_json()["made_from"]}
    assert roots == {"speech", "background"}


def test_one_step_both_ways_is_what_is_told_unasked(api: Api, workshop: Workshop) -> None:
    photo = workshop.upload(api.product)
    shown = api.product.get(f"/v1/assets/{photo}").get_json()
    assert "lineage" not in shown
    alone = lineage(api, photo)
    assert [node["id"] for node in alone["nodes"]] == [photo]
    assert (alone["edges"], alone["truncated"]) == ([], False)
    assert set(alone["nodes"][0]) == {"id", "kind", "media_type", "job_id", "step", "attempt", "created_at"}


def test_what_is_reached_in_two_ways_is_there_once(api: Api) -> None:
    for name, sources in {"a": "", "b": "a", "c": "a", "d": "bc", "e": "d"}.items():
        keep(api, name, *sources)
    found = lineage(api, "ast_a")
    assert [node["id"] for node in found["nodes"]] == [f"ast_{name}" for name in "abcde"]
    assert {(edge["source"], edge["made"]) for edge in found["edges"]} == {
        ("ast_a", "ast_b"), ("ast_a", "ast_c"), ("ast_b", "ast_d"), ("ast_c", "ast_d"), ("ast_d", "ast_e"),
    }  # fmt: skip
    # neither siblings nor the other parents of descendants: c stands beside b
    assert {node["id"] for node in lineage(api, "ast_b")["nodes"]} == {"ast_a", "ast_b", "ast_d", "ast_e"}


def test_a_graph_that_is_too_large_says_so_and_shows_the_nearest(api: Api) -> None:
    keep(api, "root")
    leaves = [NewAsset(asset(f"leaf{number}"), {}, ("ast_root",)) for number in range(MOST_RELATED - 1)]
    with api.database.transaction() as session:
        add(session, leaves, client="product")
    keep(api, "far", "leaf0")
    assert not lineage(api, "ast_root")["truncated"]
    keep(api, "farther", "far")
    found = lineage(api, "ast_root")
    assert found["truncated"]
    names = {node["id"] for node in found["nodes"]}
    assert len(names) == MOST_RELATED + 1
    assert "ast_far" in names
    assert "ast_farther" not in names


def test_another_clients_assets_are_in_no_graph(api: Api) -> None:
    keep(api, "mine")
    keep(api, "theirs", "mine", client="other")
    keep(api, "beyond", "theirs")
    assert [node["id"] for node in lineage(api, "ast_mine")["nodes"]] == ["ast_mine"]
    answer = api.other.get("/v1/assets/ast_mine?lineage=full")
    assert (answer.status_code, code(answer)) == (404, "not_found")


def test_only_the_whole_lineage_can_be_asked_for(api: Api) -> None:
    keep(api, "some")
    answer = api.product.get("/v1/assets/ast_some?lineage=half")
    assert (answer.status_code, code(answer)) == (422, "parameter_invalid")
    assert "lineage" in flaws(answer)
