"""The timeline of an output in each of its forms: they tell the same, to the frame."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import opentimelineio
import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from hypothesis import given, settings
from hypothesis import strategies as some
from jsonschema import Draft202012Validator

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import Finished, Footage, Utterance
from pipeline.snapshots import CaptionStyle, Setting
from pipeline.stages.background import Background
from pipeline.stages.enhance import Master, timeline
from pipeline.stages.lip_sync import Clip
from pipeline.stages.publish import Publication, publish
from pipeline.stages.storyboard import Line, Scene, Shot, Storyboard
from pipeline.timeline import Word
from providers.local.captions import LocalCaptions
from schemas import records as codec
from schemas.timeline import TimelineSchema
from tests import factories
from tests.instant import faultless
from tests.shelf import FolderStore
from tests.subtitles import flaws
from webapp.otio import NAME, otio

JOB = "job_01jd3v9k7m5q8r2t4w6x8y0z1a"
lengths = some.lists(some.integers(1, 600), min_size=1, max_size=20)


def asset(kind: str) -> Asset:
    return Asset(**factories.asset_json(kind))


def published(store: FolderStore, lengths: Sequence[int], fps: int) -> Publication:
    """Scenes of so many frames, with a word for each started second."""
    scenes, speeches = [], []
    for index, length in enumerate(lengths, 1):
        seconds = (length - 0.3) / fps
        words = [Word(f"word{at}", at + 0.5, min(at + 0.9, seconds)) for at in range(int(seconds + 0.5))]
        scenes.append(Scene(index, Line(" ".join(word.text for word in words)), Setting("an office"), Shot("wide")))
        speeches.append(Utterance(asset("speech"), asset("phonemes"), seconds, tuple(words)))
    total = sum(lengths)
    clips = tuple(Clip(Footage(asset("clip"), length, length / fps)) for length in lengths)
    expected = timeline(clips, speeches, Frame(320, 180, fps))
    made: Publication = publish.run(
        Master(Finished(asset("video"), asset("thumbnail"), total / fps, -16.0, -1.5), faultless(expected)),
        Storyboard(tuple(scenes)),
        clips,
        tuple(speeches),
        tuple(Background(asset("background")) for _ in lengths),
        Frame(320, 180, fps),
        CaptionStyle("sidecar"),
        captioner=LocalCaptions(store),
        assets=store,
    )
    return made


def read(store: FolderStore, file: Asset) -> str:
    return store.path(file).read_text(encoding="utf-8")


def cut(result: dict[str, Any], captions: Sequence[dict[str, Any]]) -> Any:
    text = otio(
        JOB, result, captions, address=lambda asset_id: f"https://likeness.example/v1/assets/{asset_id}/content"
    )
    return opentimelineio.adapters.read_from_string(text, "otio_json")


def documented() -> Draft202012Validator:
    """The file as the API's description has it."""
    spec = APISpec("Likeness", "1", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("Timeline", schema=TimelineSchema)
    return Draft202012Validator({"$ref": "#/components/schemas/Timeline", "components": spec.to_dict()["components"]})


@pytest.mark.parametrize("fps", [24, 25, 30])
@given(lengths=lengths)
@settings(max_examples=25, deadline=None)
def test_the_same_scenes_to_the_frame_without_gaps(fps: int, lengths: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        publication = published(store, lengths, fps)
        told = json.loads(read(store, publication.timeline))
    result = codec.dump(publication)
    assert [f"{error.json_path}: {error.message}" for error in documented().iter_errors(told)] == []
    assert [(scene["start_frame"], scene["end_frame"]) for scene in told["scenes"]] == [
        (sum(lengths[:at]), sum(lengths[: at + 1])) for at in range(len(lengths))
    ]
    assert told["frames"] == sum(lengths)
    assert told["duration_s"] == told["scenes"][-1]["end_s"] == pytest.approx(sum(lengths) / fps, abs=1e-6)

    timeline = cut(result, told["captions"])
    assert timeline.duration() == opentimelineio.opentime.RationalTime(sum(lengths), fps)
    for track in timeline.tracks:
        assert [type(each) for each in track] == [opentimelineio.schema.Clip] * len(lengths)
        for clip, scene in zip(track, told["scenes"], strict=True):
            place = clip.range_in_parent()
            assert place.start_time.to_frames() == scene["start_frame"]
            assert place.end_time_exclusive().to_frames() == scene["end_frame"]
            assert clip.available_range() == clip.source_range


def test_a_clip_has_its_scene_and_its_file_but_no_link_that_opens_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    publication = published(store, [60, 75], 25)
    result = codec.dump(publication)
    timeline = cut(result, json.loads(read(store, publication.timeline))["captions"])
    picture, sound = timeline.tracks
    assert (picture.kind, sound.kind) == ("Video", "Audio")
    for track in (picture, sound):
        for clip, scene in zip(track, publication.scenes, strict=True):
            assert clip.media_reference.target_url == f"https://likeness.example/v1/assets/{scene.video.id}/content"
            assert clip.media_reference.metadata[NAME]["sha256"] == scene.video.sha256
            kept = clip.metadata[NAME]
            assert (kept["index"], kept["transcript"], kept["pose"]) == (scene.index, scene.transcript, None)
            assert kept["background"]["sha256"] == scene.background.sha256
    assert timeline.metadata[NAME]["job_id"] == JOB
    assert timeline.metadata[NAME]["video"]["sha256"] == publication.video.sha256


def test_captions_are_markers_at_their_frames(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    publication = published(store, [60, 75], 25)
    told = json.loads(read(store, publication.timeline))
    markers = cut(codec.dump(publication), told["captions"]).tracks.markers
    assert [marker.name for marker in markers] == [caption["text"] for caption in told["captions"]]
    assert "word0 word1" in markers[0].name
    for marker, caption in zip(markers, told["captions"], strict=True):
        shown = marker.marked_range
        assert shown.start_time.to_seconds() == pytest.approx(caption["start_s"], abs=0.021)
        assert shown.end_time_exclusive().to_seconds() == pytest.approx(caption["end_s"], abs=0.021)
        assert [word["text"] for word in marker.metadata[NAME]["words"]] == caption["text"].split()


def test_caption_files_say_what_the_timeline_says(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    publication = published(store, [60, 75, 1, 130], 30)
    told = json.loads(read(store, publication.timeline))
    said = [word["text"] for caption in told["captions"] for word in caption["words"]]
    assert publication.captions
    assert len(said) == 8
    for form, file in (("vtt", publication.captions.vtt), ("srt", publication.captions.srt)):
        assert flaws(read(store, file), form, words=said, scenes=[scene["end_s"] for scene in told["scenes"]]) == []
