"""Events are found by client: of each job only the first pending one is due."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("client", sa.String(length=64), nullable=True))
    op.execute("UPDATE events SET client = jobs.client FROM jobs WHERE jobs.id = events.job_id")
    op.alter_column("events", "client", nullable=False)
    op.alter_column("events", "due_at", nullable=True)
    op.execute(
        "UPDATE events SET due_at = NULL WHERE state = 'pending' AND EXISTS (SELECT FROM events earlier WHERE "
        "earlier.job_id = events.job_id AND earlier.sequence < events.sequence AND earlier.state = 'pending')"
    )
    op.drop_index("ix_events_due_at_pending", table_name="events", postgresql_where=sa.text("state = 'pending'"))
    op.create_index(
        "ix_events_client_due_at_pending",
        "events",
        ["client", "due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND due_at IS NOT NULL"),
    )
    op.drop_column("events", "announced_at")


def downgrade() -> None:
    op.add_column("events", sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index(
        "ix_events_client_due_at_pending",
        table_name="events",
        postgresql_where=sa.text("state = 'pending' AND due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_events_due_at_pending", "events", ["due_at"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.execute("UPDATE events SET due_at = now() WHERE due_at IS NULL")
    op.alter_column("events", "due_at", nullable=False)
    op.drop_column("events", "client")
