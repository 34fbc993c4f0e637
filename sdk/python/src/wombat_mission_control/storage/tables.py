"""The tables of the contract. All names begin with `wombat_`, so that they stand beside an application's own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from .types import Json, Moment

#: All tables; an application's Alembic takes it as one of its `target_metadata`.
metadata = MetaData()

#: On SQLite only INTEGER counts by itself.
Big = BigInteger().with_variant(Integer, "sqlite")


def _table(name: str, *columns: Any) -> Table:
    return Table(f"wombat_{name}", metadata, *columns)


def _seq() -> Column[Any]:
    return Column("seq", Big, primary_key=True, autoincrement=True)


def _id() -> Column[Any]:
    return Column("id", String(64), nullable=False, unique=True)


def _text(name: str, *more: Any, **options: Any) -> Column[Any]:
    return Column(name, Text, *more, nullable=False, **options)


def _moment(name: str) -> Column[Any]:
    return Column(name, Moment, nullable=False)


def _count(name: str, start: int = 0) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default=str(start))


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default=false())


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


tasks = _table(
    "tasks", _seq(), _id(), _text("user_id"), _text("title"), Column("description", Text), _text("status"),
    Column("metadata", Json), _moment("created_at"), _moment("updated_at"), Column("completed_at", Moment),
    Index("wombat_tasks_of_user", "user_id", "seq"),
)

messages = _table(
    "messages", _seq(), _id(), _text("user_id"), _text("task_id"), _text("content"), _text("actor_type"),
    Column("agent_role", Text), Column("actor_id", Text), Column("attachments", Json), Column("data", Json),
    Column("idempotency_key", Text), Column("tool_request_id", Text), _moment("created_at"),
    Index("wombat_messages_of_task", "task_id", "seq"),
    Index("wombat_messages_by_key", "user_id", "idempotency_key"),
)

documents = _table(
    "documents", _seq(), _id(), _text("user_id"), Column("task_id", Text), _text("title"), _text("content"),
    Column("doc_type", Text), _moment("created_at"),
    Index("wombat_documents_of_user", "user_id", "seq"), Index("wombat_documents_of_task", "task_id"),
)

idempotency = _table(
    "idempotency", Column("user_id", Text, primary_key=True), Column("endpoint", Text, primary_key=True),
    Column("key", Text, primary_key=True), Column("role", Text, primary_key=True), _text("body"),
    Column("response", Json), _moment("created_at"),
    Index("wombat_idempotency_age", "created_at"),
)

events = Table(
    "wombat_events", metadata, Column("id", Big, primary_key=True, autoincrement=True), _text("user_id"),
    Column("role", Text), _text("kind"), _text("data"), _moment("created_at"),
    Index("wombat_events_of_user", "user_id", "id"),
    sqlite_autoincrement=True,
)

notifications = _table(
    "notifications", _seq(), _id(), _text("user_id"), _text("session_key"), _text("content"),
    Column("task_id", Text), Column("run_key", Text), Column("metadata", Json), Column("collapse_key", Text),
    _count("collapsed"), _count("priority", 1), Column("schedule_id", Text), Column("read_at", Moment),
    Column("delivered_at", Moment), Column("leased_until", Moment), Column("dead_at", Moment),
    Column("error", Text), _count("attempts"), _moment("created_at"),
    Index("wombat_notifications_of_user", "user_id", "seq"),
    Index("wombat_notifications_of_task", "task_id"),
    Index("wombat_notifications_waiting", "session_key", "seq", **_where("delivered_at IS NULL AND dead_at IS NULL")),
    Index("wombat_notifications_queue", "seq", **_where("delivered_at IS NULL AND dead_at IS NULL")),
    Index("wombat_notifications_dead", "user_id", "dead_at", **_where("dead_at IS NOT NULL")),
)

quiet_hours = _table(
    "quiet_hours", Column("user_id", Text, primary_key=True), _text("timezone"), _text("from_time"),
    _text("to_time"), _moment("updated_at"),
)

dead_letter_digests = _table(
    "dead_letter_digests", Column("user_id", Text, primary_key=True), Column("sent_at", Moment),
    Column("due_at", Moment),
)

heartbeats = _table(
    "heartbeats", Column("user_id", Text, primary_key=True), Column("role", Text, primary_key=True),
    _moment("last_at"), _count("count"), Column("note", Text), Column("note_at", Moment),
)

heartbeat_slots = _table(
    "heartbeat_slots", Column("user_id", Text, primary_key=True), Column("role", Text, primary_key=True),
    Column("slot", Moment, primary_key=True), _moment("created_at"),
)

leases = _table(
    "session_leases", _seq(), _id(), _text("user_id"), _text("session_key"), _text("task_id"),
    Column("fence", BigInteger, nullable=False), _text("holder"), _count("ttl_secs"), _moment("expires_at"),
    Column("freed_at", Moment), _moment("created_at"),
    UniqueConstraint("session_key", "task_id", "fence", name="wombat_session_leases_fence"),
)

runs = _table(
    "runs", _seq(), _text("run_key"), _text("user_id"), _text("role"), _text("status"), Column("session_key", Text),
    Column("task_id", Text), Column("workspace_digest", Text), Column("workspace", Text),
    Column("profile_digest", Text), _flag("detached"), Column("parent_run_key", Text), _flag("cancel_requested"),
    Column("extra", Json), Column("lease_id", Text), Column("orphan_until", Moment), _count("orphan_attempts"),
    _count("orphan_steps"), _count("step_count"), _count("step_bytes"), Column("model", Text),
    Column("provider", Text), Column("message_id", Text), Column("error_code", Text), Column("used", Json),
    Column("cost_usd", Double), Column("asked", Text), Column("reply", Text), Column("words", Text),
    Column("ended_at", Moment), Column("duration_ms", BigInteger), _moment("created_at"), _moment("updated_at"),
    UniqueConstraint("user_id", "run_key", "role", name="wombat_runs_of_role"),
    Index("wombat_runs_of_user", "user_id", "seq"), Index("wombat_runs_of_task", "task_id", "seq"),
    Index("wombat_runs_by_key", "run_key"), Index("wombat_runs_of_session", "session_key", "task_id", "status"),
    Index("wombat_runs_of_message", "message_id"), Index("wombat_runs_below", "user_id", "parent_run_key"),
    Index("wombat_runs_going_on", "seq", **_where("detached AND status IN ('running', 'interrupted')")),
)

run_steps = _table(
    "run_steps", Column("run_seq", Big, ForeignKey("wombat_runs.seq", ondelete="CASCADE"), primary_key=True),
    Column("step_index", BigInteger, primary_key=True, autoincrement=False), _text("kind"), _text("payload"),
    _moment("created_at"),
)

run_deltas = _table(
    "run_deltas", Column("run_seq", Big, ForeignKey("wombat_runs.seq", ondelete="CASCADE"), primary_key=True),
    Column("first_id", BigInteger, primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False), _text("events"),
)

run_told = _table(
    "run_told",
    Column("run_seq", Big, ForeignKey("wombat_runs.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _count("last_id"), _count("bytes"), _count("paced_ms"), _flag("expired"), _moment("written_at"),
)

run_artifacts = _table(
    "run_artifacts", Column("run_seq", Big, ForeignKey("wombat_runs.seq", ondelete="CASCADE"), primary_key=True),
    Column("sha256", Text, primary_key=True), _text("user_id"), Column("size", BigInteger, nullable=False),
    _text("media_type"), _text("content"), _moment("created_at"), _moment("expires_at"),
    Index("wombat_run_artifacts_of_user", "user_id", "expires_at", "size"),
    Index("wombat_run_artifacts_expiry", "expires_at"),
)

feedback = _table(
    "feedback", _seq(), _id(), Column("run_seq", Big, ForeignKey("wombat_runs.seq", ondelete="CASCADE"), nullable=False),
    _text("user_id"), _text("author_type"), _text("author_id"), Column("message_id", Text), Column("rating", Text),
    Column("labels", Json), Column("comment", Text), _moment("created_at"), _moment("updated_at"),
    UniqueConstraint("run_seq", "author_type", "author_id", name="wombat_feedback_of_author"),
    Index("wombat_feedback_of_user", "user_id", "seq"),
)

run_labels = _table(
    "run_labels", Column("feedback_seq", Big, ForeignKey("wombat_feedback.seq", ondelete="CASCADE"), primary_key=True),
    Column("label", Text, primary_key=True), Column("run_seq", Big, nullable=False),
    Index("wombat_run_labels_of_run", "run_seq"), Index("wombat_run_labels_by_label", "label"),
)

tool_requests = _table(
    "tool_requests", _seq(), _id(), _text("user_id"), _text("task_id"), _text("run_key"), _text("session_key"),
    _text("kind"), _text("tool"), _text("arguments"), Column("reason", Text), _text("status"), Column("note", Text),
    Column("parameters", Json), Column("asked_by", Json), Column("expires_at", Moment), Column("edited", Text),
    Column("answer", Json), _flag("is_answered"), Column("decided_by", Json), Column("decision_key", Text),
    Column("decision_body", Text), Column("rule_id", Text), _moment("created_at"), Column("decided_at", Moment),
    Index("wombat_tool_requests_of_user", "user_id", "seq"),
    Index("wombat_tool_requests_of_run", "run_key"), Index("wombat_tool_requests_of_task", "task_id"),
    Index("wombat_tool_requests_of_tool", "user_id", "session_key", "tool", "seq"),
    Index("wombat_tool_requests_due", "expires_at", **_where("status = 'pending' AND kind = 'question'")),
)

approval_rules = _table(
    "approval_rules", _seq(), _id(), _text("user_id"), _text("role"), _text("tool"), Column("fits", Json),
    _moment("expires_at"), Column("max_uses", BigInteger), _count("uses"), _text("author_type"),
    Column("author_id", Text), Column("parameters_sha256", Text), Column("tool_request_id", Text),
    Column("revoked_at", Moment), _moment("created_at"),
    Index("wombat_approval_rules_of_user", "user_id", "seq"),
)

approval_rule_uses = _table(
    "approval_rule_uses",
    Column("rule_seq", Big, ForeignKey("wombat_approval_rules.seq", ondelete="CASCADE"), primary_key=True),
    Column("idempotency_key", Text, primary_key=True), _text("run_key"), _text("body"), _count("uses"),
    _moment("created_at"),
)

profiles = _table(
    "profiles", Column("user_id", Text, primary_key=True), Column("role", Text, primary_key=True),
    Column("body", Json), Column("tenant_id", Text), _moment("updated_at"),
    Index("wombat_profiles_of_tenant", "tenant_id"),
)

budgets = _table(
    "budgets", Column("tenant_id", Text, primary_key=True), Column("user_id", Text, primary_key=True),
    Column("role", Text, primary_key=True), Column("limit_nanos", BigInteger, nullable=False), _text("period"),
    Column("warn_at", Double), _moment("updated_at"),
)

budget_warnings = _table(
    "budget_warnings", Column("tenant_id", Text, primary_key=True), Column("user_id", Text, primary_key=True),
    Column("role", Text, primary_key=True), Column("period", Text, primary_key=True),
    Column("period_end", Moment, primary_key=True), Column("limit_nanos", BigInteger, primary_key=True, autoincrement=False),
)

reservations = _table(
    "reservations", Column("id", String(64), primary_key=True), _text("user_id"), Column("role", Text),
    Column("tenant_id", Text), _text("run_id"), Column("estimate_nanos", BigInteger, nullable=False),
    _moment("expires_at"), Column("settled_at", Moment), _moment("created_at"),
    Index("wombat_reservations_open", "user_id", "expires_at", **_where("settled_at IS NULL")),
)

usage = _table(
    "usage", _seq(), _id(), Column("user_id", Text), _text("run_id"), Column("reservation_id", Text),
    _text("role"), _text("model"), Column("tenant_id", Text), _count("prompt_tokens"), _count("completion_tokens"),
    Column("cost_nanos", BigInteger, nullable=False), _flag("estimated"), _moment("created_at"),
    Index("wombat_usage_of_user", "user_id", "created_at"), Index("wombat_usage_of_role", "role", "created_at"),
    Index("wombat_usage_of_tenant", "tenant_id", "created_at"),
)

files = _table(
    "files", _seq(), _id(), _text("user_id"), _text("name"), _text("media_type"),
    Column("size", BigInteger, nullable=False), _text("sha256"), Column("bytes", LargeBinary, nullable=False),
    _flag("is_attached"), _moment("put_at"),
    Index("wombat_files_of_user", "user_id", "sha256"), Index("wombat_files_age", "put_at"),
)

memories = _table(
    "memories", _seq(), _id(), _text("scope"), _text("owner"), Column("user_id", Text), Column("task_id", Text),
    Column("tenant_id", Text), _text("text"), _text("folded"), _text("words"), Column("source", Json),
    Column("expires_at", Moment), _text("author_type"), _text("author_id"), _moment("created_at"),
    _moment("updated_at"),
    UniqueConstraint("owner", "folded", name="wombat_memories_said"),
    Index("wombat_memories_of_user", "user_id", "seq"), Index("wombat_memories_of_tenant", "tenant_id", "seq"),
    Index("wombat_memories_expiring", "expires_at"),
)

schedules = _table(
    "schedules", _seq(), _id(), _text("user_id"), _text("role"), _text("content"), Column("task_id", Text),
    Column("at_time", Moment), Column("local_at", Text), Column("cron", Text), Column("timezone", Text),
    Column("until_at", Moment), Column("max_runs", BigInteger), _text("catch_up"), _text("status"),
    Column("next_at", Moment), _moment("handled_to"), Column("last_slot", Moment), _count("runs"),
    Column("created_by", Json), _moment("created_at"), _moment("updated_at"),
    Index("wombat_schedules_of_user", "user_id", "seq"), Index("wombat_schedules_due", "status", "next_at"),
)

audit = _table(
    "audit", Column("seq", BigInteger, primary_key=True, autoincrement=False), _text("at"), _text("actor_type"),
    Column("actor_subject", Text), Column("actor_role", Text), _text("act"), Column("subject", Text),
    Column("object_type", Text), Column("object_id", Text), _text("details"), Column("trace_id", Text),
    _text("prev"), _text("hash"),
    Index("wombat_audit_of_subject", "subject", "seq"), Index("wombat_audit_of_actor", "actor_subject", "seq"),
    Index("wombat_audit_by_act", "act", "seq"),
)

audit_subjects = _table(
    "audit_subjects", Column("user_id", Text, primary_key=True), Column("subject", Text, nullable=False, unique=True),
)

audit_reasons = _table(
    "audit_reasons", Column("seq", BigInteger, primary_key=True, autoincrement=False), _text("reason"),
)

erased_users = _table("erased_users", Column("who", Text, primary_key=True), _count("erased_ms"))

erased_runs = _table("erased_runs", Column("who", Text, primary_key=True), _moment("erased_at"))

erasures = _table("erasures", Column("user_id", Text, primary_key=True), _text("messages"), _moment("begun_at"))
