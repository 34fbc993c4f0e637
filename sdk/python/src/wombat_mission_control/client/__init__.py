"""A client of the daemon, sync and async: runs with typed events, resumption, questions, approvals."""

from .aio import AsyncApprovals, AsyncDaemon
from .events import Chunk, Done, Event, Failed, Other, Restarted, Started, ToolCalled, ToolReturned
from .model import DaemonError, RunAnswer, RunStatus, SendRequest, ToolRequest, WaitingFor
from .sync import Approvals, Daemon

__all__ = [
    "Approvals", "AsyncApprovals", "AsyncDaemon", "Chunk", "Daemon", "DaemonError", "Done", "Event", "Failed", "Other",
    "Restarted", "RunAnswer", "RunStatus", "SendRequest", "Started", "ToolCalled", "ToolRequest", "ToolReturned",
    "WaitingFor",
]
