"""People decide and have steps run again: decisions, what is in force of them, and outputs that were replaced."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("review", JSONB(none_as_null=True), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("records", sa.Column("origin", sa.String(length=12), nullable=True))
    op.add_column("records", sa.Column("notes", sa.Text(), nullable=True))
    op.create_table(
        "past_outputs",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("step", sa.String(length=80), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=12), nullable=True),
        sa.Column("output", JSONB(none_as_null=True), nullable=False),
        sa.Column("input_digest", sa.String(length=64), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("variation", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_past_outputs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "step", "number", name=op.f("pk_past_outputs")),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("gate", sa.String(length=40), nullable=True),
        sa.Column("decision", sa.String(length=12), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("scenes", JSONB(none_as_null=True), nullable=True),
        sa.Column("edits", JSONB(none_as_null=True), nullable=True),
        sa.Column("judged", JSONB(none_as_null=True), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("approved", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_decisions_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_job_id"), "decisions", ["job_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_decisions_job_id"), table_name="decisions")
    op.drop_table("decisions")
    op.drop_table("past_outputs")
    op.drop_column("records", "notes")
    op.drop_column("records", "origin")
    op.drop_column("jobs", "review")
