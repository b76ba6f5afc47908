"""The tables."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own way to declare it
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[dict[str, Any]]: JSONB(none_as_null=True),
        Decimal: Numeric(14, 4),
    }


class Job(Base):
    """One request being served."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "client", "id"),
        Index("ix_jobs_client_active", "client", postgresql_where=text("status IN ('accepted', 'running')")),
        Index("ix_jobs_nudge_at_active", "nudge_at", postgresql_where=text("status IN ('accepted', 'running')")),
        # what deletion asks
        Index("ix_jobs_client_identity", "client", postgresql_where=text("kind <> 'output'")),
        Index(
            "ix_jobs_deadline_at_active",
            "deadline_at",
            postgresql_where=text("status IN ('accepted', 'running') AND deadline_at IS NOT NULL"),
        ),
        Index("ix_jobs_client_awaiting", "client", postgresql_where=text("status = 'awaiting_approval'")),
        Index(
            "ix_jobs_avatar_id", text("(request #>> '{avatar,avatar_id}')"), postgresql_where=text("kind = 'output'")
        ),
        Index(
            "ix_jobs_voice_id",
            text("(request #>> '{avatar,voice_id}')"),
            postgresql_where=text("(request #>> '{avatar,voice_id}') IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    client: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    route: Mapped[str] = mapped_column(String(32))
    lane: Mapped[str] = mapped_column(String(16))
    # JSON, not JSONB: what was accepted is kept as it came, key order and number spelling included
    snapshot: Mapped[Any] = mapped_column(JSON)
    # the same with every default of its day filled in: what the stages read
    request: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20))
    launch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    scenes: Mapped[int | None]
    progress: Mapped[float] = mapped_column(Float, server_default=text("0"))
    sequence: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    gate: Mapped[dict[str, Any] | None]
    # what people decided that is in force (pipeline/review.py)
    review: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    error: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    cost: Mapped[Decimal] = mapped_column(server_default=text("0"))
    # the sweeper looks at a job that has not moved by then; each vain look doubles the pause
    nudge_at: Mapped[datetime] = mapped_column(server_default=func.now())
    nudges: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # the machine has the job until then; none: for as long as it takes
    deadline_at: Mapped[datetime | None]
    # whether the client is told of this job; off for ever once its endpoint answered 410
    callbacks: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # since then the row tells that there was a job, and nothing of what it was about
    deleted_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """A client's key, bound to what it was first used for."""

    __tablename__ = "idempotency_keys"

    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_digest: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class Record(Base):
    """What is known of a step."""

    __tablename__ = "records"
    __table_args__ = (
        Index("ix_records_wake_at_waiting", "wake_at", postgresql_where=text("status = 'waiting'")),
        Index("ix_records_lease_until_running", "lease_until", postgresql_where=text("status = 'running'")),
        Index("ix_records_awaits_waiting", "awaits", "wake_at", postgresql_where=text("status = 'waiting'")),
        # what another job may have; what no provider made is not worth an entry
        Index(
            "ix_records_output_input_digest_made",
            "output_input_digest",
            "finished_at",
            postgresql_where=text("provider IS NOT NULL AND source IS NULL"),
        ),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[str] = mapped_column(String(80), primary_key=True)
    stage: Mapped[str] = mapped_column(String(40))
    scene: Mapped[int | None]
    place: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tried: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    variation: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    owner: Mapped[str | None] = mapped_column(String(80))
    lease_until: Mapped[datetime | None]
    wake_at: Mapped[datetime | None]
    # what a waiting step waits for besides its time: `slot:<provider>`, `call`, `person`; and the same as a sentence
    awaits: Mapped[str | None] = mapped_column(String(80))
    why: Mapped[str | None] = mapped_column(Text)
    # how many of the attempts ended in waiting: they were no tries
    waits: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    message: Mapped[dict[str, Any] | None]
    input: Mapped[dict[str, Any] | None]
    input_digest: Mapped[str | None] = mapped_column(String(64))
    output: Mapped[dict[str, Any] | None]
    output_input_digest: Mapped[str | None] = mapped_column(String(64))
    # `human` where a person gave the output in place of the stage's
    origin: Mapped[str | None] = mapped_column(String(12))
    # the job and the step that made the output, where it was taken from another job
    source: Mapped[dict[str, Any] | None]
    # what a reviewer wants to be different in this variation
    notes: Mapped[str | None] = mapped_column(Text)
    error: Mapped[dict[str, Any] | None]
    provider: Mapped[str | None] = mapped_column(String(40))
    # the adapters that were preferred and did not serve, each with its reason
    passed_over: Mapped[list[dict[str, Any]] | None]
    cost: Mapped[Decimal] = mapped_column(server_default=text("0"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class PastOutput(Base):
    """What a step had made before what it has now."""

    __tablename__ = "past_outputs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[str] = mapped_column(String(80), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    origin: Mapped[str | None] = mapped_column(String(12))
    output: Mapped[dict[str, Any]]
    input_digest: Mapped[str | None] = mapped_column(String(64))
    attempt: Mapped[int]
    variation: Mapped[int]
    made_at: Mapped[datetime | None]
    replaced_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Decision(Base):
    """What a person said at a gate: written once, never changed.

    `digest` is that of what was judged, `approved` that of what an approval lets pass: another where it came with
    edits.
    """

    __tablename__ = "decisions"
    __table_args__ = (Index(None, "job_id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    # none: a retry
    gate: Mapped[str | None] = mapped_column(String(40))
    decision: Mapped[str] = mapped_column(String(12))
    reviewer: Mapped[str | None] = mapped_column(Text)
    notes: Mapped[str | None] = mapped_column(Text)
    scenes: Mapped[list[int] | None] = mapped_column(JSONB(none_as_null=True))
    edits: Mapped[dict[str, Any] | None]
    judged: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    approved: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Attempt(Base):
    """One try at a step that has ended, whatever came of it."""

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[str] = mapped_column(String(80), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(String(16))
    error: Mapped[dict[str, Any] | None]
    provider: Mapped[str | None] = mapped_column(String(40))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]


class ProviderCall(Base):
    """One use of a paid adapter: written before it is sent, so that nothing is paid twice or forgotten.

    What it is, is its key: step, variation, capability and the digest of what is asked. A new `round` begins only
    where an earlier one was taken and has ended, or had to be paid, or a person said so.
    """

    __tablename__ = "provider_calls"
    __table_args__ = (
        UniqueConstraint("job_id", "step", "variation", "capability", "digest", "round"),
        CheckConstraint("status IN ('intended', 'submitted', 'succeeded', 'failed', 'uncertain')", name="status"),
        Index(
            "ix_provider_calls_provider_open", "provider", postgresql_where=text("status IN ('intended', 'submitted')")
        ),
        Index(
            "ix_provider_calls_look_at_open", "look_at", postgresql_where=text("status IN ('intended', 'submitted')")
        ),
        Index("ix_provider_calls_id_uncertain", "id", postgresql_where=text("status = 'uncertain'")),
        Index("ix_provider_calls_provider_external_id", "provider", "external_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    step: Mapped[str] = mapped_column(String(80))
    variation: Mapped[int]
    capability: Mapped[str] = mapped_column(String(40))
    digest: Mapped[str] = mapped_column(String(64))
    round: Mapped[int]
    provider: Mapped[str] = mapped_column(String(40))
    operation: Mapped[str] = mapped_column(String(80))
    repeat: Mapped[str] = mapped_column(String(12))
    status: Mapped[str] = mapped_column(String(12))
    # the step's attempt that intended it last, and how often it was intended: what was not taken is sent anew
    attempt: Mapped[int]
    tries: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    request: Mapped[dict[str, Any]]
    external_id: Mapped[str | None] = mapped_column(String(200))
    urls: Mapped[dict[str, Any] | None]
    output: Mapped[dict[str, Any] | None]
    # files that the answer brought, as the rows they become with the step's record
    made: Mapped[list[dict[str, Any]] | None]
    error: Mapped[dict[str, Any] | None]
    reserved: Mapped[Decimal] = mapped_column(server_default=text("0"))
    settled: Mapped[Decimal] = mapped_column(server_default=text("0"))
    # the part of `settled` that bought nothing of use
    wasted: Mapped[Decimal] = mapped_column(server_default=text("0"))
    intended_at: Mapped[datetime] = mapped_column(server_default=func.now())
    submitted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    # when the sweeper looks next after a call that no step looks after any more
    look_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AssetRow(Base):
    """An immutable file: what it is, and the attempt that made it (none: uploaded, or taken from another job)."""

    __tablename__ = "assets"
    __table_args__ = (Index(None, "client", "id"), Index(None, "job_id"), Index(None, "sha256"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    client: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(40))
    media_type: Mapped[str] = mapped_column(String(80))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    facts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    step: Mapped[str | None] = mapped_column(String(80))
    attempt: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AssetEdge(Base):
    """This asset was made from that one."""

    __tablename__ = "asset_edges"

    asset_id: Mapped[str] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[str] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True, index=True)


class HeldFile(Base):
    """A file that is stored, or just about to be, for an asset that has no row yet."""

    __tablename__ = "held_files"
    __table_args__ = (Index(None, "sha256"), Index(None, "job_id"))

    asset_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    # none: an upload
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    held_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FileRemoval(Base):
    """A file that goes as soon as nothing refers to it."""

    __tablename__ = "file_removals"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class VoiceRow(Base):
    """A reusable voice: `model` is what its provider speaks it by, `traits` what was measured on the sample."""

    __tablename__ = "voices"
    __table_args__ = (Index(None, "client", "id"), UniqueConstraint("job_id"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    client: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    model: Mapped[dict[str, Any]]
    traits: Mapped[dict[str, Any]]
    sample: Mapped[dict[str, Any]]
    preview: Mapped[dict[str, Any]]
    consent: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AvatarRow(Base):
    """A reusable identity, as its newest version is."""

    __tablename__ = "avatars"
    __table_args__ = (Index(None, "client", "id"), UniqueConstraint("job_id"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    client: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    neutral: Mapped[dict[str, Any]]
    sheet: Mapped[dict[str, Any]]
    voice_id: Mapped[str | None] = mapped_column(ForeignKey("voices.id", ondelete="SET NULL"), index=True)
    consent: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AvatarVersion(Base):
    """An avatar as it was saved once; it stays so. `voice_version` is that of the voice when it was saved."""

    __tablename__ = "avatar_versions"

    avatar_id: Mapped[str] = mapped_column(ForeignKey("avatars.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    neutral: Mapped[dict[str, Any]]
    sheet: Mapped[dict[str, Any]]
    voice_id: Mapped[str | None] = mapped_column(ForeignKey("voices.id", ondelete="SET NULL"), index=True)
    voice_version: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Event(Base):
    """What the product backend is told; the body is kept as it is signed."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("job_id", "sequence"),
        CheckConstraint("state IN ('pending', 'delivered', 'dead', 'unwanted')", name="state"),
        Index(
            "ix_events_client_due_at_pending",
            "client",
            "due_at",
            postgresql_where=text("state = 'pending' AND due_at IS NOT NULL"),
        ),
        Index("ix_events_job_id_sequence_pending", "job_id", "sequence", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    client: Mapped[str] = mapped_column(String(64))
    sequence: Mapped[int]
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(12))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # NULL where an earlier pending event of the job goes first; while somebody delivers it: when his lease ends
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Delivery(Base):
    """One attempt to tell an event."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    status: Mapped[int | None]
    latency_ms: Mapped[int]
    answer: Mapped[str] = mapped_column(Text)
