"""The parts of the contract, each with its endpoints."""

from . import (
    approval_rules,
    artifacts,
    audit,
    budgets,
    capabilities,
    decisions,
    delivery,
    deltas,
    dispatch,
    documents,
    erasing,
    events,
    feedback,
    files,
    heartbeat,
    leases,
    memories,
    messages,
    notifications,
    orphans,
    profiles,
    retention,
    run_lists,
    runs,
    schedules,
    tasks,
    tool_requests,
    tools,
)

_PARTS = (
    capabilities, tasks, messages, documents, files, notifications, dispatch, delivery, heartbeat, runs, deltas,
    artifacts, orphans, leases, tool_requests, decisions, approval_rules, schedules, budgets, profiles, events, audit, memories,
    run_lists, feedback, erasing, retention, tools,
)

#: All endpoints of the contract.
ROUTES = [part.routes for part in _PARTS]
