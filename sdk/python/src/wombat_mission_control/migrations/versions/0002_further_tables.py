"""The tables of the contract: second half."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wombat_mission_control.storage import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "wombat_runs",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("run_key", sa.Text(), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False), sa.Column("status", sa.Text(), nullable=False),
        sa.Column("session_key", sa.Text(), nullable=True), sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("workspace_digest", sa.Text(), nullable=True), sa.Column("workspace", sa.Text(), nullable=True),
        sa.Column("profile_digest", sa.Text(), nullable=True),
        sa.Column("detached", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("parent_run_key", sa.Text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("extra", types.Json(), nullable=True), sa.Column("lease_id", sa.Text(), nullable=True),
        sa.Column("orphan_until", types.Moment(timezone=True), nullable=True),
        sa.Column("orphan_attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("orphan_steps", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("step_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("step_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("model", sa.Text(), nullable=True), sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True), sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("used", types.Json(), nullable=True), sa.Column("cost_usd", sa.Double(), nullable=True),
        sa.Column("asked", sa.Text(), nullable=True), sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("words", sa.Text(), nullable=True),
        sa.Column("ended_at", types.Moment(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.Column("updated_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("user_id", "run_key", "role", name="wombat_runs_of_role"),
    )
    op.create_index("wombat_runs_below", "wombat_runs", ["user_id", "parent_run_key"])
    op.create_index("wombat_runs_by_key", "wombat_runs", ["run_key"])
    op.create_index(
        'wombat_runs_going_on', 'wombat_runs', ['seq'],
        postgresql_where=sa.text("detached AND status IN ('running', 'interrupted')"),
        sqlite_where=sa.text("detached AND status IN ('running', 'interrupted')"),
    )
    op.create_index("wombat_runs_of_message", "wombat_runs", ["message_id"])
    op.create_index("wombat_runs_of_session", "wombat_runs", ["session_key", "task_id", "status"])
    op.create_index("wombat_runs_of_task", "wombat_runs", ["task_id", "seq"])
    op.create_index("wombat_runs_of_user", "wombat_runs", ["user_id", "seq"])
    op.create_table(
        "wombat_schedules",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False), sa.Column("content", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("at_time", types.Moment(timezone=True), nullable=True),
        sa.Column("local_at", sa.Text(), nullable=True), sa.Column("cron", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("until_at", types.Moment(timezone=True), nullable=True),
        sa.Column("max_runs", sa.BigInteger(), nullable=True), sa.Column("catch_up", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("next_at", types.Moment(timezone=True), nullable=True),
        sa.Column("handled_to", types.Moment(timezone=True), nullable=False),
        sa.Column("last_slot", types.Moment(timezone=True), nullable=True),
        sa.Column("runs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_by", types.Json(), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.Column("updated_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("wombat_schedules_due", "wombat_schedules", ["status", "next_at"])
    op.create_index("wombat_schedules_of_user", "wombat_schedules", ["user_id", "seq"])
    op.create_table(
        "wombat_session_leases",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("session_key", sa.Text(), nullable=False), sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False), sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("ttl_secs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expires_at", types.Moment(timezone=True), nullable=False),
        sa.Column("freed_at", types.Moment(timezone=True), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("session_key", "task_id", "fence", name="wombat_session_leases_fence"),
    )
    op.create_table(
        "wombat_tasks",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False), sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False), sa.Column("metadata", types.Json(), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.Column("updated_at", types.Moment(timezone=True), nullable=False),
        sa.Column("completed_at", types.Moment(timezone=True), nullable=True), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("wombat_tasks_of_user", "wombat_tasks", ["user_id", "seq"])
    op.create_table(
        "wombat_tool_requests",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False), sa.Column("run_key", sa.Text(), nullable=False),
        sa.Column("session_key", sa.Text(), nullable=False), sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False), sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True), sa.Column("status", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True), sa.Column("parameters", types.Json(), nullable=True),
        sa.Column("asked_by", types.Json(), nullable=True),
        sa.Column("expires_at", types.Moment(timezone=True), nullable=True),
        sa.Column("edited", sa.Text(), nullable=True), sa.Column("answer", types.Json(), nullable=True),
        sa.Column("is_answered", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("decided_by", types.Json(), nullable=True), sa.Column("decision_key", sa.Text(), nullable=True),
        sa.Column("decision_body", sa.Text(), nullable=True), sa.Column("rule_id", sa.Text(), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.Column("decided_at", types.Moment(timezone=True), nullable=True), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index(
        "wombat_tool_requests_due", "wombat_tool_requests", ["expires_at"],
        postgresql_where=sa.text("status = 'pending' AND kind = 'question'"),
        sqlite_where=sa.text("status = 'pending' AND kind = 'question'"),
    )
    op.create_index("wombat_tool_requests_of_run", "wombat_tool_requests", ["run_key"])
    op.create_index("wombat_tool_requests_of_task", "wombat_tool_requests", ["task_id"])
    op.create_index(
        "wombat_tool_requests_of_tool", "wombat_tool_requests", ["user_id", "session_key", "tool", "seq"],
    )
    op.create_index("wombat_tool_requests_of_user", "wombat_tool_requests", ["user_id", "seq"])
    op.create_table(
        "wombat_usage",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=False), sa.Column("reservation_id", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False), sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_nanos", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("wombat_usage_of_role", "wombat_usage", ["role", "created_at"])
    op.create_index("wombat_usage_of_tenant", "wombat_usage", ["tenant_id", "created_at"])
    op.create_index("wombat_usage_of_user", "wombat_usage", ["user_id", "created_at"])
    op.create_table(
        "wombat_approval_rule_uses",
        sa.Column("rule_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False), sa.Column("run_key", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("uses", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["rule_seq"], ["wombat_approval_rules.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("rule_seq", "idempotency_key"),
    )
    op.create_table(
        "wombat_feedback",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("run_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("author_type", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Text(), nullable=False), sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("rating", sa.Text(), nullable=True), sa.Column("labels", types.Json(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.Column("updated_at", types.Moment(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_seq"], ["wombat_runs.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq"), sa.UniqueConstraint("id"),
        sa.UniqueConstraint("run_seq", "author_type", "author_id", name="wombat_feedback_of_author"),
    )
    op.create_index("wombat_feedback_of_user", "wombat_feedback", ["user_id", "seq"])
    op.create_table(
        "wombat_run_deltas",
        sa.Column("run_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("first_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False), sa.Column("events", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_seq"], ["wombat_runs.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_seq", "first_id"),
    )
    op.create_table(
        "wombat_run_steps",
        sa.Column("run_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("step_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False), sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_seq"], ["wombat_runs.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_seq", "step_index"),
    )
    op.create_table(
        "wombat_run_told",
        sa.Column("run_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("last_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("paced_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expired", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("written_at", types.Moment(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_seq"], ["wombat_runs.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_seq"),
    )
    op.create_table(
        "wombat_run_labels",
        sa.Column("feedback_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("run_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["feedback_seq"], ["wombat_feedback.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("feedback_seq", "label"),
    )
    op.create_index("wombat_run_labels_by_label", "wombat_run_labels", ["label"])
    op.create_index("wombat_run_labels_of_run", "wombat_run_labels", ["run_seq"])


def downgrade() -> None:
    """Drops the tables, and all that is in them."""
    op.drop_table("wombat_run_labels")
    op.drop_table("wombat_run_told")
    op.drop_table("wombat_run_steps")
    op.drop_table("wombat_run_deltas")
    op.drop_table("wombat_feedback")
    op.drop_table("wombat_approval_rule_uses")
    op.drop_table("wombat_usage")
    op.drop_table("wombat_tool_requests")
    op.drop_table("wombat_tasks")
    op.drop_table("wombat_session_leases")
    op.drop_table("wombat_schedules")
    op.drop_table("wombat_runs")
