"""The tables of the contract: first half."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wombat_mission_control.storage import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "wombat_approval_rules",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False), sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("fits", types.Json(), nullable=True),
        sa.Column("expires_at", types.Moment(timezone=True), nullable=False),
        sa.Column("max_uses", sa.BigInteger(), nullable=True),
        sa.Column("uses", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("author_type", sa.Text(), nullable=False), sa.Column("author_id", sa.Text(), nullable=True),
        sa.Column("parameters_sha256", sa.Text(), nullable=True),
        sa.Column("tool_request_id", sa.Text(), nullable=True),
        sa.Column("revoked_at", types.Moment(timezone=True), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("wombat_approval_rules_of_user", "wombat_approval_rules", ["user_id", "seq"])
    op.create_table(
        "wombat_audit",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False), sa.Column("actor_type", sa.Text(), nullable=False),
        sa.Column("actor_subject", sa.Text(), nullable=True), sa.Column("actor_role", sa.Text(), nullable=True),
        sa.Column("act", sa.Text(), nullable=False), sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("object_type", sa.Text(), nullable=True), sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False), sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("prev", sa.Text(), nullable=False), sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("wombat_audit_by_act", "wombat_audit", ["act", "seq"])
    op.create_index("wombat_audit_of_actor", "wombat_audit", ["actor_subject", "seq"])
    op.create_index("wombat_audit_of_subject", "wombat_audit", ["subject", "seq"])
    op.create_table(
        "wombat_audit_reasons",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "wombat_audit_subjects",
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"), sa.UniqueConstraint("subject"),
    )
    op.create_table(
        "wombat_budget_warnings",
        sa.Column("tenant_id", sa.Text(), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False), sa.Column("period", sa.Text(), nullable=False),
        sa.Column("period_end", types.Moment(timezone=True), nullable=False),
        sa.Column("limit_nanos", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "role", "period", "period_end", "limit_nanos"),
    )
    op.create_table(
        "wombat_budgets",
        sa.Column("tenant_id", sa.Text(), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False), sa.Column("limit_nanos", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False), sa.Column("warn_at", sa.Double(), nullable=True),
        sa.Column("updated_at", types.Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "role"),
    )
    op.create_table(
        "wombat_dead_letter_digests",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("sent_at", types.Moment(timezone=True), nullable=True),
        sa.Column("due_at", types.Moment(timezone=True), nullable=True), sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_table(
        "wombat_documents",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=True), sa.Column("title", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False), sa.Column("doc_type", sa.Text(), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("wombat_documents_of_task", "wombat_documents", ["task_id"])
    op.create_index("wombat_documents_of_user", "wombat_documents", ["user_id", "seq"])
    op.create_table(
        "wombat_erased_runs",
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("erased_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("who"),
    )
    op.create_table(
        "wombat_erased_users",
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("erased_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("who"),
    )
    op.create_table(
        "wombat_erasures",
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("begun_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_table(
        "wombat_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("role", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False), sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("wombat_events_of_user", "wombat_events", ["user_id", "id"])
    op.create_table(
        "wombat_files",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False), sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False), sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.Column("is_attached", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("put_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("wombat_files_age", "wombat_files", ["put_at"])
    op.create_index("wombat_files_of_user", "wombat_files", ["user_id", "sha256"])
    op.create_table(
        "wombat_heartbeat_slots",
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("role", sa.Text(), nullable=False),
        sa.Column("slot", types.Moment(timezone=True), nullable=False),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "role", "slot"),
    )
    op.create_table(
        "wombat_heartbeats",
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("role", sa.Text(), nullable=False),
        sa.Column("last_at", types.Moment(timezone=True), nullable=False),
        sa.Column("count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("note_at", types.Moment(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "role"),
    )
    op.create_table(
        "wombat_idempotency",
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False), sa.Column("role", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False), sa.Column("response", types.Json(), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "endpoint", "key", "role"),
    )
    op.create_index("wombat_idempotency_age", "wombat_idempotency", ["created_at"])
    op.create_table(
        "wombat_memories",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False), sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("task_id", sa.Text(), nullable=True), sa.Column("tenant_id", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False), sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False), sa.Column("source", types.Json(), nullable=True),
        sa.Column("expires_at", types.Moment(timezone=True), nullable=True),
        sa.Column("author_type", sa.Text(), nullable=False), sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False),
        sa.Column("updated_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"), sa.UniqueConstraint("owner", "folded", name="wombat_memories_said"),
    )
    op.create_index("wombat_memories_expiring", "wombat_memories", ["expires_at"])
    op.create_index("wombat_memories_of_tenant", "wombat_memories", ["tenant_id", "seq"])
    op.create_index("wombat_memories_of_user", "wombat_memories", ["user_id", "seq"])
    op.create_table(
        "wombat_messages",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False), sa.Column("content", sa.Text(), nullable=False),
        sa.Column("actor_type", sa.Text(), nullable=False), sa.Column("agent_role", sa.Text(), nullable=True),
        sa.Column("actor_id", sa.Text(), nullable=True), sa.Column("attachments", types.Json(), nullable=True),
        sa.Column("data", types.Json(), nullable=True), sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("tool_request_id", sa.Text(), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("wombat_messages_by_key", "wombat_messages", ["user_id", "idempotency_key"])
    op.create_index("wombat_messages_of_task", "wombat_messages", ["task_id", "seq"])
    op.create_table(
        "wombat_notifications",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("session_key", sa.Text(), nullable=False), sa.Column("content", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=True), sa.Column("run_key", sa.Text(), nullable=True),
        sa.Column("metadata", types.Json(), nullable=True), sa.Column("collapse_key", sa.Text(), nullable=True),
        sa.Column("collapsed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("priority", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("schedule_id", sa.Text(), nullable=True),
        sa.Column("read_at", types.Moment(timezone=True), nullable=True),
        sa.Column("delivered_at", types.Moment(timezone=True), nullable=True),
        sa.Column("leased_until", types.Moment(timezone=True), nullable=True),
        sa.Column("dead_at", types.Moment(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index(
        "wombat_notifications_dead", "wombat_notifications", ["user_id", "dead_at"],
        postgresql_where=sa.text("dead_at IS NOT NULL"),
        sqlite_where=sa.text("dead_at IS NOT NULL"),
    )
    op.create_index("wombat_notifications_of_task", "wombat_notifications", ["task_id"])
    op.create_index("wombat_notifications_of_user", "wombat_notifications", ["user_id", "seq"])
    op.create_index(
        "wombat_notifications_queue", "wombat_notifications", ["seq"],
        postgresql_where=sa.text("delivered_at IS NULL AND dead_at IS NULL"),
        sqlite_where=sa.text("delivered_at IS NULL AND dead_at IS NULL"),
    )
    op.create_index(
        "wombat_notifications_waiting", "wombat_notifications", ["session_key", "seq"],
        postgresql_where=sa.text("delivered_at IS NULL AND dead_at IS NULL"),
        sqlite_where=sa.text("delivered_at IS NULL AND dead_at IS NULL"),
    )
    op.create_table(
        "wombat_profiles",
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("role", sa.Text(), nullable=False),
        sa.Column("body", types.Json(), nullable=True), sa.Column("tenant_id", sa.Text(), nullable=True),
        sa.Column("updated_at", types.Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "role"),
    )
    op.create_index("wombat_profiles_of_tenant", "wombat_profiles", ["tenant_id"])
    op.create_table(
        "wombat_quiet_hours",
        sa.Column("user_id", sa.Text(), nullable=False), sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("from_time", sa.Text(), nullable=False), sa.Column("to_time", sa.Text(), nullable=False),
        sa.Column("updated_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_table(
        "wombat_reservations",
        sa.Column("id", sa.String(length=64), nullable=False), sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True), sa.Column("tenant_id", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("estimate_nanos", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", types.Moment(timezone=True), nullable=False),
        sa.Column("settled_at", types.Moment(timezone=True), nullable=True),
        sa.Column("created_at", types.Moment(timezone=True), nullable=False), sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "wombat_reservations_open", "wombat_reservations", ["user_id", "expires_at"],
        postgresql_where=sa.text("settled_at IS NULL"),
        sqlite_where=sa.text("settled_at IS NULL"),
    )


def downgrade() -> None:
    """Drops the tables, and all that is in them."""
    op.drop_table("wombat_reservations")
    op.drop_table("wombat_quiet_hours")
    op.drop_table("wombat_profiles")
    op.drop_table("wombat_notifications")
    op.drop_table("wombat_messages")
    op.drop_table("wombat_memories")
    op.drop_table("wombat_idempotency")
    op.drop_table("wombat_heartbeats")
    op.drop_table("wombat_heartbeat_slots")
    op.drop_table("wombat_files")
    op.drop_table("wombat_events")
    op.drop_table("wombat_erasures")
    op.drop_table("wombat_erased_users")
    op.drop_table("wombat_erased_runs")
    op.drop_table("wombat_documents")
    op.drop_table("wombat_dead_letter_digests")
    op.drop_table("wombat_budgets")
    op.drop_table("wombat_budget_warnings")
    op.drop_table("wombat_audit_subjects")
    op.drop_table("wombat_audit_reasons")
    op.drop_table("wombat_audit")
    op.drop_table("wombat_approval_rules")
