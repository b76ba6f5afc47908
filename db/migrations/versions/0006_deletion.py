"""An avatar can be deleted: what was told of it, and its files."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

AWAITING = sa.text("status = 'awaiting_approval'")
AVATAR = sa.text("kind = 'avatar'")
OUTPUT = sa.text("kind = 'output'")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_jobs_client_avatar", "jobs", ["client"], unique=False, postgresql_where=AVATAR)
    op.create_index("ix_jobs_client_awaiting", "jobs", ["client"], unique=False, postgresql_where=AWAITING)
    op.create_index(
        "ix_jobs_avatar_id",
        "jobs",
        [sa.text("(request #>> '{avatar,avatar_id}')")],
        unique=False,
        postgresql_where=OUTPUT,
    )
    op.create_table(
        "held_files",
        sa.Column("asset_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=True),
        sa.Column("held_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_held_files_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", name=op.f("pk_held_files")),
    )
    op.create_index(op.f("ix_held_files_job_id"), "held_files", ["job_id"], unique=False)
    op.create_index(op.f("ix_held_files_sha256"), "held_files", ["sha256"], unique=False)
    op.create_table(
        "file_removals",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_file_removals")),
    )
    op.create_index(op.f("ix_file_removals_due_at"), "file_removals", ["due_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_file_removals_due_at"), table_name="file_removals")
    op.drop_table("file_removals")
    op.drop_index(op.f("ix_held_files_sha256"), table_name="held_files")
    op.drop_index(op.f("ix_held_files_job_id"), table_name="held_files")
    op.drop_table("held_files")
    op.drop_index("ix_jobs_avatar_id", table_name="jobs", postgresql_where=OUTPUT)
    op.drop_index("ix_jobs_client_awaiting", table_name="jobs", postgresql_where=AWAITING)
    op.drop_index("ix_jobs_client_avatar", table_name="jobs", postgresql_where=AVATAR)
    op.drop_column("jobs", "deleted_at")
