"""Outputs that were taken from another job, and how they are found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("records", sa.Column("source", JSONB(none_as_null=True), nullable=True))
    op.create_index(
        "ix_records_output_input_digest_made",
        "records",
        ["output_input_digest", "finished_at"],
        unique=False,
        postgresql_where=sa.text("provider IS NOT NULL AND source IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_records_output_input_digest_made", table_name="records")
    op.drop_column("records", "source")
