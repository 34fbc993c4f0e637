"""Long results of tools, which belong to a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wombat_mission_control.storage import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "wombat_run_artifacts",
        sa.Column("run_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False), sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.Column("expires_at", types.Moment(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_seq"], ["wombat_runs.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_seq", "sha256"),
    )
    op.create_index("wombat_run_artifacts_of_user", "wombat_run_artifacts", ["user_id", "expires_at", "size"])
    op.create_index("wombat_run_artifacts_expiry", "wombat_run_artifacts", ["expires_at"])


def downgrade() -> None:
    """Drops the table, and all that is in it."""
    op.drop_table("wombat_run_artifacts")
