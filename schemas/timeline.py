"""The timeline file of an output: what GET /v1/jobs/{id}/timeline?format=json answers."""

from marshmallow import Schema, fields

from schemas.jobs import described


class NamedAsset(Schema):
    """A file, by its id and its content; the bytes are at /v1/assets/{id}/content."""

    id = fields.String(required=True)
    media_type = fields.String(required=True, metadata={"example": "video/mp4"})
    bytes = fields.Integer(required=True)
    sha256 = fields.String(required=True)


class SpokenWord(Schema):
    """A word as written, and when it is heard."""

    text = fields.String(required=True)
    start_s = fields.Float(required=True)
    end_s = fields.Float(required=True)


class CaptionCue(Schema):
    """One or two lines that are shown together."""

    start_s = fields.Float(required=True)
    end_s = fields.Float(required=True)
    text = fields.String(required=True, metadata=described("Lines are separated by a line feed."))
    words = fields.List(fields.Nested(SpokenWord), required=True)


class TimelineScene(Schema):
    """A scene. It begins where the one before it ends; both times are frames / fps."""

    index = fields.Integer(required=True, metadata=described("From 1.", minimum=1))
    start_s = fields.Float(required=True)
    end_s = fields.Float(required=True)
    start_frame = fields.Integer(required=True, metadata=described("Its first frame in the video.", minimum=0))
    end_frame = fields.Integer(required=True, metadata=described("The frame after its last.", minimum=1))
    transcript = fields.String(required=True)
    pose = fields.String(required=True, allow_none=True)
    background = fields.Nested(NamedAsset, required=True)
    video = fields.Nested(NamedAsset, required=True, metadata=described("The scene's clip, with its sound."))


class TimelineSchema(Schema):
    """The media timeline: scenes and captions on one clock of measured seconds, from the video's first frame."""

    version = fields.Integer(
        required=True, metadata=described("Files of version 1 have neither frames nor ids.", example=2)
    )
    width = fields.Integer(required=True)
    height = fields.Integer(required=True)
    fps = fields.Integer(required=True)
    frames = fields.Integer(required=True, metadata=described("Of the whole video: where the last scene ends."))
    duration_s = fields.Float(required=True)
    video = fields.Nested(NamedAsset, required=True)
    scenes = fields.List(fields.Nested(TimelineScene), required=True, metadata=described("In order, without gaps."))
    captions = fields.List(
        fields.Nested(CaptionCue),
        required=True,
        metadata=described("Every spoken word once, in order, whether or not captions are burned in or beside."),
    )
