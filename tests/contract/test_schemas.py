"""The contracts alone: what is taken, what is refused and where, and what a payload means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frame import Frame
from pipeline.ports import ClonedVoice, Identity
from pipeline.poses import USUAL
from pipeline.snapshots import (
    AvatarSnapshot,
    BRollWish,
    LowerThird,
    OutputSnapshot,
    PhotoSource,
    PoseWish,
    ScriptRequest,
    VoiceSample,
)
from schemas import canonical, records
from schemas.canonical import NotJson
from schemas.contracts import CONTRACTS, understand
from schemas.problems import PayloadInvalid
from tests.api import payload

ASSET = {"id": "ast_1", "kind": "neutral", "media_type": "image/png", "bytes": 1, "sha256": "0" * 64}
MINIMAL = {"contract": "output.generate/1", "avatar_id": "avt_1", "script": {"text": "Hello."}}


def output(**changes: Any) -> OutputSnapshot:
    """With these fields; None: without."""
    sent = {name: value for name, value in (MINIMAL | changes).items() if value is not None}
    asked = understand(sent, "outputs").request
    assert isinstance(asked, OutputSnapshot)
    return asked


def refused(call: str, sent: Any) -> dict[str, str]:
    with pytest.raises(PayloadInvalid) as caught:
        understand(sent, call)
    return {flaw.pointer: flaw.detail for flaw in caught.value.flaws}


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.name)
def test_every_example_is_understood_and_its_snapshot_survives_storage(contract: Any) -> None:
    understood = understand(dict(contract.example), contract.call)
    stored = json.loads(json.dumps(records.dump(understood.request)))
    assert records.load(stored, type(understood.request)) == understood.request


def test_the_contract_page_of_an_output_is_understood_in_full() -> None:
    asked = understand(
        {
            "contract": "output.generate/1",
            "lane": "marketing",
            "avatar_id": "avt_1",
            "voice_id": None,
            "script": {"text": "Hello there.\nAnd again."},
            "scenes": {"mode": "multi", "max": 8},
            "b_roll": {"enabled": False, "assets": []},
            "poses": {"enabled": False, "sequence": ["neutral", "explain"]},
            "storyboard": None,
            "approved_assets": {},
            "review": {"gates": []},
            "output": {
                "width": 1080,
                "height": 1920,
                "fps": 30,
                "captions": "sidecar",
                "background": "a bright office",
                "music": None,
            },
            "seed": 7,
            "metadata": {"any": ["thing"]},
        },
        "outputs",
    )
    assert (asked.kind, asked.route, asked.lane) == ("output", "multi_scene", "marketing")
    assert isinstance(asked.request, OutputSnapshot)
    assert asked.request.frame == Frame(1080, 1920, 30, "AI-generated")
    assert asked.request.captions.mode == "sidecar"
    assert asked.request.seed.value == 7


def test_what_is_left_out_has_a_documented_default() -> None:
    asked = output()
    assert asked.frame == Frame(1280, 720, 25, "AI-generated")
    assert asked.captions.mode == "burned"
    assert asked.scenes.most == 8
    assert asked.setting.prompt == "a bright office"
    assert asked.seed.value == 0


def test_a_single_scene_is_one_scene_whatever_the_limit_says() -> None:
    asked = understand(MINIMAL | {"scenes": {"mode": "single", "max": 8}}, "outputs")
    assert asked.route == "single_scene"
    assert isinstance(asked.request, OutputSnapshot)
    assert asked.request.scenes.most == 1


def test_a_brief_is_a_script_to_be_written() -> None:
    asked = output(script={"brief": "Sell tea.", "duration_s": 20})
    assert asked.script == ScriptRequest(None, "Sell tea.", 20.0, "friendly")


def storyboard(*transcripts: str, **fields: Any) -> dict[str, Any]:
    return {"scenes": [{"transcript": each, **fields} for each in transcripts]}


def test_a_storyboard_answers_the_stages_that_would_write_and_plan_it() -> None:
    asked = output(storyboard=storyboard("Hello there.", "And again.", background="a park"), script=None)
    assert asked.given["script"] == {"text": "Hello there. And again.", "origin": "given"}
    first, second = asked.given["storyboard"]["scenes"]
    assert (first["index"], first["line"], first["setting"]) == (1, {"text": "Hello there."}, {"prompt": "a park"})
    assert (second["index"], second["shot"]) == (2, {"size": "medium"})


def test_a_scene_without_a_background_of_its_own_has_the_outputs() -> None:
    asked = output(storyboard=storyboard("Hello."), script=None, output={"background": "a beach"})
    assert asked.given["storyboard"]["scenes"][0]["setting"] == {"prompt": "a beach"}


def test_a_script_beside_a_storyboard_may_say_the_same() -> None:
    asked = output(storyboard=storyboard("Hello there.", "And again."), script={"text": "Hello there.\nAnd again."})
    assert asked.given["script"]["text"] == "Hello there. And again."


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"script": None}, "/script", "unless a storyboard has the words"),
        ({"storyboard": storyboard("Other words.")}, "/script", "is not what the storyboard's transcripts say"),
        ({"storyboard": storyboard(" ")}, "/storyboard/scenes/0/transcript", ""),
        ({"storyboard": storyboard("Hi.", shot="aerial")}, "/storyboard/scenes/0/shot", "must be one of"),
        ({"storyboard": storyboard()}, "/storyboard/scenes", "1 to 50"),
        (
            {"storyboard": storyboard(*["word " * 390] * 12), "script": None},
            "/storyboard",
            "more than 20000 characters",
        ),
        (
            {"storyboard": storyboard("Hi.", "Ho."), "script": None, "scenes": {"mode": "single"}},
            "/storyboard/scenes",
            "one entry in single mode",
        ),
        ({"approved_assets": []}, "/approved_assets", "must be an object"),
        ({"approved_assets": {"x" * 50_000: "ast_1"}}, "/approved_assets", "of at most 40 characters"),
        ({"approved_assets": dict.fromkeys(map(str, range(101)), "ast_1")}, "/approved_assets", "at most 100 entries"),
        ({"approved_assets": {"script": "ast_1"}}, "/approved_assets/script", "is no step that an asset can stand for"),
        ({"approved_assets": {"scene/0/background": "ast_1"}}, "/approved_assets/scene~10~1background", "is no step"),
        ({"approved_assets": {"scene/1/background": 7}}, "/approved_assets/scene~11~1background", "id of an asset"),
        (
            {"approved_assets": {"scene/2/background": "ast_1"}, "scenes": {"mode": "single"}},
            "/approved_assets/scene~12~1background",
            "no scene beyond 1",
        ),
    ],
)
def test_what_is_given_must_fit(changes: dict[str, Any], pointer: str, words: str) -> None:
    asked = {name: value for name, value in (MINIMAL | changes).items() if value is not None}
    found = refused("outputs", asked)
    assert list(found) == [pointer]
    assert words in found[pointer]


def test_the_label_may_be_other_words_or_none() -> None:
    assert output(output={"label": "Synthetic"}).frame.label == "Synthetic"
    assert output(output={"label": None}).frame.label is None


def test_a_sample_gives_the_avatar_a_voice_of_its_own() -> None:
    images = [{"asset_id": "ast_1"}]
    asked = understand(
        payload("avatar.create/1", inputs={"images": images, "voice_sample": {"url": "https://media.example/a.mp3"}}),
        "avatars",
    )
    assert asked.route == "avatar_with_voice"
    assert isinstance(asked.request, AvatarSnapshot)
    assert asked.request.sample == VoiceSample(None, "https://media.example/a.mp3")
    for absent in ({}, {"voice_sample": None}):
        plain = understand(payload("avatar.create/1", inputs={"images": images} | absent), "avatars")
        assert plain.route == "avatar_creation"


def test_a_job_accepted_before_there_were_voices_is_still_understood() -> None:
    stored = records.dump(output())
    del stored["avatar"]["voice_id"]
    assert records.load(stored, OutputSnapshot) == output()
    identity = {"avatar_id": "avt_1", "version": 1, "name": "A", "neutral": {"image": ASSET, "cutout": None}}
    assert records.load(identity, Identity).voice is None
    assert records.load({"provider": "elevenlabs", "external_id": "abc"}, ClonedVoice).method == "instant clone"


def test_images_come_as_assets_or_addresses() -> None:
    images = [{"asset_id": "ast_1"}, {"url": "https://media.example/a.jpg"}]
    asked = understand(payload("avatar.create/1", inputs={"images": images}), "avatars").request
    assert isinstance(asked, AvatarSnapshot)
    assert asked.photos.sources == (PhotoSource("ast_1", None), PhotoSource(None, "https://media.example/a.jpg"))


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"output": {"music": "calm"}}, "/output/music", "not offered yet: send null"),
    ],
)
def test_what_is_not_offered_yet_says_so_and_what_to_send(changes: dict[str, Any], pointer: str, words: str) -> None:
    found = refused("outputs", MINIMAL | changes)
    assert list(found) == [pointer]
    assert words in found[pointer]


@pytest.mark.parametrize(
    ("changes", "route"),
    [
        ({}, "multi_scene"),
        ({"scenes": {"mode": "single"}}, "single_scene"),
        ({"poses": {"enabled": True}}, "pose_based"),
        ({"poses": {"enabled": True}, "scenes": {"mode": "single"}}, "pose_based"),
        ({"poses": {"enabled": False, "sequence": ["think"]}}, "multi_scene"),
        ({"b_roll": {"enabled": True}}, "b_roll"),
        ({"b_roll": {"enabled": True}, "poses": {"enabled": True}}, "b_roll"),
        ({"b_roll": {"enabled": False, "assets": ["ast_1"]}, "poses": {"enabled": True}}, "pose_based"),
    ],
)
def test_the_route_follows_from_the_payload(changes: dict[str, Any], route: str) -> None:
    assert understand(MINIMAL | changes, "outputs").route == route


def test_poses_and_b_roll_are_wishes_only_where_they_are_on() -> None:
    off = output(poses={"sequence": ["think"]}, b_roll={"assets": ["ast_1"]})
    assert (off.poses, off.b_roll, off.lower_third) == (None, None, None)
    on = output(
        poses={"enabled": True, "sequence": ["think", "neutral"]},
        b_roll={"enabled": True, "assets": ["ast_1"], "picture_in_picture": True},
        output={"lower_third": {"line": "Host"}},
    )
    assert on.poses == PoseWish(("think", "neutral"))
    assert on.b_roll == BRollWish(("ast_1",), True)
    assert on.lower_third == LowerThird("Host")
    assert output(poses={"enabled": True}).poses == PoseWish(USUAL)
    assert output(output={"lower_third": {}}).lower_third == LowerThird(None)


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"poses": {"enabled": True, "sequence": ["think", "dance"]}}, "/poses/sequence/1", '"neutral", "explain"'),
        ({"poses": {"enabled": "yes"}}, "/poses/enabled", "true or false"),
        ({"b_roll": {"enabled": 1}}, "/b_roll/enabled", "true or false"),
        ({"b_roll": {"enabled": True, "assets": "ast_1"}}, "/b_roll/assets", "must be a list"),
        ({"b_roll": {"enabled": True, "assets": [None]}}, "/b_roll/assets/0", "must not be null"),
        ({"b_roll": {"enabled": True, "loud": True}}, "/b_roll/loud", "not a field"),
        ({"output": {"lower_third": "Ada"}}, "/output/lower_third", "must be an object"),
        ({"output": {"lower_third": {"line": "x" * 61}}}, "/output/lower_third/line", "at most 60"),
    ],
)
def test_unknown_poses_and_half_wishes_are_refused(changes: dict[str, Any], pointer: str, words: str) -> None:
    found = refused("outputs", MINIMAL | changes)
    assert list(found) == [pointer]
    assert words in found[pointer]


def test_every_flaw_is_told_at_once() -> None:
    sent = MINIMAL | {"seed": -1, "scenes": {"mode": "many", "max": 51}, "color": "red", "output": {"width": 321}}
    assert set(refused("outputs", sent)) == {"/seed", "/scenes/mode", "/scenes/max", "/color", "/output/width"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"a":1,}',
        b'{"a":1} {}',
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"\xff\xfe",
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
    ],
    ids=repr,
)
def test_what_is_not_json_is_said_to_be_not_json(body: bytes) -> None:
    with pytest.raises(NotJson) as caught:
        canonical.parse(body)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (rb'{"a":{"b":["x\u0000"]}}', "/a/b/0"),
        (rb'{"a":"\ud800"}', "/a"),
        (rb'{"a":{"\ud800":1}}', "/a"),
        (b'{"a/b":9007199254740992}', "/a~1b"),
        (b'{"a":-123456789012345678901234567890}', "/a"),
    ],
)
def test_json_that_cannot_be_kept_is_refused_at_its_place(body: bytes, pointer: str) -> None:
    with pytest.raises(PayloadInvalid) as caught:
        canonical.parse(body)
    assert [flaw.pointer for flaw in caught.value.flaws] == [pointer]


def places(sent: Any) -> list[str]:
    """Where something is wrong with an output's payload."""
    try:
        understand(sent, "outputs")
    except PayloadInvalid as error:
        return [flaw.pointer for flaw in error.flaws]
    return []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(alphabet=st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="abc/~é", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values)
def test_the_order_of_names_and_white_space_mean_nothing(value: Any) -> None:
    if "\\u0000" in json.dumps(value):
        return
    turned = json.loads(json.dumps(value), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    first = canonical.parse(json.dumps(value).encode())
    second = canonical.parse(json.dumps(turned, indent=2, ensure_ascii=False).encode())
    assert canonical.digest("POST", "/v1/outputs", first) == canonical.digest("POST", "/v1/outputs", second)


def test_the_digest_tells_calls_and_meanings_apart() -> None:
    digests = {
        canonical.digest("POST", "/v1/outputs", {"a": 1}),
        canonical.digest("POST", "/v1/avatars", {"a": 1}),
        canonical.digest("POST", "/v1/outputs", {"a": "1"}),
        canonical.digest("POST", "/v1/outputs", {"a": None}),
        canonical.digest("POST", "/v1/outputs", {}),
    }
    assert len(digests) == 5


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists) | json_values)
def test_whatever_stands_where_a_member_belongs_is_refused_and_never_crashes(value: Any) -> None:
    for name in (
        "lane",
        "script",
        "scenes",
        "output",
        "seed",
        "metadata",
        "b_roll",
        "review",
        "storyboard",
        "avatar_id",
    ):
        assert all(place.startswith(f"/{name}") for place in places(MINIMAL | {name: value}))
