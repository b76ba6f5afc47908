"""Voices, and which of them is an avatar's own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "voices",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("model", JSON, nullable=False),
        sa.Column("traits", JSON, nullable=False),
        sa.Column("sample", JSON, nullable=False),
        sa.Column("preview", JSON, nullable=False),
        sa.Column("consent", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_voices_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voices")),
        sa.UniqueConstraint("job_id", name=op.f("uq_voices_job_id")),
    )
    op.create_index(op.f("ix_voices_client_id"), "voices", ["client", "id"], unique=False)
    op.add_column("avatars", sa.Column("voice_id", sa.String(length=40), nullable=True))
    op.create_index(op.f("ix_avatars_voice_id"), "avatars", ["voice_id"], unique=False)
    op.create_foreign_key(op.f("fk_avatars_voice_id"), "avatars", "voices", ["voice_id"], ["id"], ondelete="SET NULL")


def downgrade() -> None:
    op.drop_constraint(op.f("fk_avatars_voice_id"), "avatars", type_="foreignkey")
    op.drop_index(op.f("ix_avatars_voice_id"), table_name="avatars")
    op.drop_column("avatars", "voice_id")
    op.drop_index(op.f("ix_voices_client_id"), table_name="voices")
    op.drop_table("voices")
