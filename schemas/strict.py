"""Fields that take exactly what they say: no "7" for 7, no "yes" for true, no control characters in words."""

import json
import re
from collections.abc import Sequence
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from schemas import canonical

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
BREAKS = re.compile(r"[\t\n\r]")
METADATA_BYTES = 16 * 1024
SHORTEST_S, LONGEST_S = 10, 7 * 86_400


class Strict(Schema):
    """An object with these fields and no others."""

    class Meta:
        unknown = RAISE

    error_messages = {  # noqa: RUF012  # so marshmallow declares it
        "unknown": "is not a field of this contract",
        "type": "must be an object",
    }


def required(**messages: str) -> dict[str, Any]:
    """The words of a field's errors."""
    return {"required": "is required", "null": "must not be null", "invalid": "is not valid"} | messages


class Text(fields.String):
    """Words of a person, at most `most` characters, never blank. Line breaks and tabs only where `lines` are wanted."""

    def __init__(self, most: int, *, lines: bool = False, spoken: bool = False, **options: Any) -> None:
        metadata = {"minLength": 1, "maxLength": most} | options.pop("metadata", {})
        super().__init__(metadata=metadata, error_messages=required(invalid="must be a string"), **options)
        self.most = most
        self.lines = lines
        self.spoken = spoken

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if len(value) > self.most:
            raise ValidationError(f"has {len(value)} characters; at most {self.most} are taken")
        if not value.strip():
            raise ValidationError("must not be blank")
        if found := CONTROL.search(value) or (None if self.lines else BREAKS.search(value)):
            raise ValidationError(f"contains the control character U+{ord(found[0]):04X} at position {found.start()}")
        if self.spoken and not any(map(str.isalnum, value)):
            raise ValidationError("has no letter or digit, so nothing to say")
        return value


class Whole(fields.Integer):
    """A JSON number without a fraction; `even` where a codec asks for it."""

    def __init__(self, least: int, most: int, *, even: bool = False, **options: Any) -> None:
        metadata = {"minimum": least, "maximum": most} | ({"multipleOf": 2} if even else {})
        super().__init__(
            metadata=metadata | options.pop("metadata", {}),
            error_messages=required(invalid="must be a whole number"),
            **options,
        )
        self.least, self.most, self.even = least, most, even

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> int:
        if type(value) is not int:  # True is an int to Python
            raise self.make_error("invalid")
        if not self.least <= value <= self.most:
            raise ValidationError(f"must lie between {self.least} and {self.most}")
        if self.even and value % 2:
            raise ValidationError("must be even")
        return value


class Number(fields.Float):
    def __init__(self, least: float, most: float, **options: Any) -> None:
        metadata = {"minimum": least, "maximum": most} | options.pop("metadata", {})
        super().__init__(metadata=metadata, error_messages=required(invalid="must be a number"), **options)
        self.least, self.most = least, most

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> float:
        if type(value) not in (int, float):
            raise self.make_error("invalid")
        if not self.least <= value <= self.most:
            raise ValidationError(f"must lie between {self.least:g} and {self.most:g}")
        return float(value)


class Choice(fields.Raw):
    """One of a few values, in type as well."""

    def __init__(self, choices: Sequence[Any], **options: Any) -> None:
        kinds = {str: "string", int: "integer"}
        metadata = {"type": kinds[type(choices[0])], "enum": list(choices)}
        super().__init__(metadata=metadata | options.pop("metadata", {}), error_messages=required(), **options)
        self.choices = choices

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> Any:
        if not any(type(value) is type(choice) and value == choice for choice in self.choices):
            raise ValidationError(f"must be one of {', '.join(map(json.dumps, self.choices))}")
        return value


class Flag(fields.Boolean):
    """true or false, and no words for them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(error_messages=required(invalid="must be true or false"), **options)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> bool:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return value


class Matching(fields.String):
    """A string of a given form. `form` says it in words."""

    def __init__(self, pattern: str, *, form: str, **options: Any) -> None:
        super().__init__(
            metadata={"pattern": f"^{pattern}$"} | options.pop("metadata", {}), error_messages=required(), **options
        )
        self.pattern = re.compile(pattern)
        self.form = form

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> str:
        if not isinstance(value, str) or not self.pattern.fullmatch(value):
            raise ValidationError(f"must be {self.form}")
        return value


class NotOffered(fields.Raw):
    """A field of the contract that this version takes with one value only: the one that asks for nothing."""

    def __init__(self, only: Any, what: str, **options: Any) -> None:
        metadata = {"enum": [only], "description": f"{what.capitalize()} not offered yet: only this value is taken."}
        super().__init__(
            load_default=only, allow_none=only is None, metadata=metadata, error_messages=required(), **options
        )
        self.only = only
        self.what = what

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> Any:
        if type(value) is not type(self.only) or value != self.only:
            raise ValidationError(f"{self.what} not offered yet: send {json.dumps(self.only)} or leave it out")
        return value


class Instant(fields.AwareDateTime):
    """A point in time with its offset, written in UTC with a Z."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            format="iso",
            error_messages=required(
                invalid="must be a time such as 2026-11-01T09:00:00Z",
                invalid_awareness="must name its offset",
            ),
            **options,
        )

    def _serialize(self, value: Any, *args: Any, **options: Any) -> str | None:
        return None if value is None else str(value.isoformat()).replace("+00:00", "Z")

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(value, str) or len(value) > 40 or "T" not in value.upper():
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            return super()._deserialize(value, *args, **options)
        except OverflowError:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class Deadline(Whole):
    """How long the machine may have a job."""

    def __init__(self) -> None:
        described = (
            "Seconds from the acceptance, and anew from each decision or retry; not while the job waits for a decision."
            " A job that takes longer fails as `deadline_exceeded`. null: there is no limit."
        )
        super().__init__(SHORTEST_S, LONGEST_S, load_default=None, allow_none=True, metadata={"description": described})


class Metadata(fields.Raw):
    """Anything the caller wants back in jobs and events."""

    def __init__(self) -> None:
        described = f"Opaque; at most {METADATA_BYTES} bytes of canonical JSON. Comes back in every event and job."
        super().__init__(
            load_default=dict,
            metadata={
                "type": "object",
                "description": described,
                "example": {"user": "u_1"},
            },
            error_messages=required(),
        )

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        if (size := canonical.size(value)) > METADATA_BYTES:
            raise ValidationError(f"has {size} bytes of JSON; at most {METADATA_BYTES} are taken")
        return value


def nested(schema: type[Schema], **options: Any) -> fields.Nested:
    return fields.Nested(schema, error_messages=required(), **options)


def exactly_one(data: dict[str, Any], names: Sequence[str]) -> None:
    """Raises ValidationError unless exactly one of these fields was given."""
    given = [name for name in names if data.get(name) is not None]
    if len(given) != 1:
        count = "none" if not given else "all" if len(given) == len(names) else str(len(given))
        raise ValidationError(f"must have exactly one of {', '.join(names)}; it has {count}")


def listed(inner: fields.Field[Any], least: int, most: int, **options: Any) -> fields.List[Any]:
    return fields.List(
        inner,
        validate=validate.Length(least, most, error=f"must have {least} to {most} entries"),
        error_messages=required(invalid="must be a list"),
        **options,
    )
