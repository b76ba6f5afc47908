"""A job may have to be done by a time."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UNDER_WAY = sa.text("status IN ('accepted', 'running') AND deadline_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_jobs_deadline_at_active", "jobs", ["deadline_at"], unique=False, postgresql_where=UNDER_WAY)


def downgrade() -> None:
    op.drop_index("ix_jobs_deadline_at_active", table_name="jobs")
    op.drop_column("jobs", "deadline_at")
