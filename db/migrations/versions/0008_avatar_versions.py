"""Avatars have versions, and a voice can be deleted by itself."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
VOICE_ID = "(request #>> '{avatar,voice_id}')"


def upgrade() -> None:
    op.create_table(
        "avatar_versions",
        sa.Column("avatar_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("neutral", JSON, nullable=False),
        sa.Column("sheet", JSON, nullable=False),
        sa.Column("voice_id", sa.String(length=40), nullable=True),
        sa.Column("voice_version", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["avatar_id"], ["avatars.id"], name=op.f("fk_avatar_versions_avatar_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["voice_id"], ["voices.id"], name=op.f("fk_avatar_versions_voice_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("avatar_id", "version", name=op.f("pk_avatar_versions")),
    )
    op.create_index(op.f("ix_avatar_versions_voice_id"), "avatar_versions", ["voice_id"], unique=False)
    op.execute(
        """
        INSERT INTO avatar_versions (avatar_id, version, neutral, sheet, voice_id, voice_version, created_at)
        SELECT avatars.id, avatars.version, neutral, sheet, voice_id, voices.version, avatars.created_at
        FROM avatars LEFT JOIN voices ON voices.id = voice_id
        """
    )
    op.drop_index("ix_jobs_client_avatar", table_name="jobs", postgresql_where=sa.text("kind = 'avatar'"))
    op.create_index(
        "ix_jobs_client_identity", "jobs", ["client"], unique=False, postgresql_where=sa.text("kind <> 'output'")
    )
    op.create_index(
        "ix_jobs_voice_id",
        "jobs",
        [sa.text(VOICE_ID)],
        unique=False,
        postgresql_where=sa.text(f"{VOICE_ID} IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_voice_id", table_name="jobs")
    op.drop_index("ix_jobs_client_identity", table_name="jobs")
    op.create_index(
        "ix_jobs_client_avatar", "jobs", ["client"], unique=False, postgresql_where=sa.text("kind = 'avatar'")
    )
    op.drop_index(op.f("ix_avatar_versions_voice_id"), table_name="avatar_versions")
    op.drop_table("avatar_versions")
