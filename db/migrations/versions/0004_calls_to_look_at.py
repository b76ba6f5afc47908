"""Open calls are found by when they are to be looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = sa.text("status IN ('intended', 'submitted')")


def upgrade() -> None:
    op.create_index(
        "ix_provider_calls_look_at_open", "provider_calls", ["look_at"], unique=False, postgresql_where=OPEN
    )


def downgrade() -> None:
    op.drop_index("ix_provider_calls_look_at_open", table_name="provider_calls", postgresql_where=OPEN)
