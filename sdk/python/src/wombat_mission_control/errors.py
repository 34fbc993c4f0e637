"""Errors of the contract: a status, a code, a sentence, and details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ContractError(Exception):
    """An error as the caller sees it: `{"error", "code", "details"?}` with a status."""

    def __init__(
        self,
        status: int,
        code: str,
        error: str,
        details: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.error = error
        self.details = details
        if retry_after is None and status in (429, 503):
            retry_after = 1
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        body: dict[str, Any] = {"error": self.error, "code": self.code}
        if self.details is not None:
            body["details"] = dict(self.details)
        return body


def invalid(field: str, why: str) -> ContractError:
    """400: one field of the request is wrong."""
    return invalid_fields({field: why})


def invalid_fields(fields: Mapping[str, str]) -> ContractError:
    """400: fields of the request are wrong, each with the reason."""
    text = "; ".join(f"{name} {why}" for name, why in fields.items())
    return ContractError(400, "invalid_payload", text, {"fields": dict(fields)})


def not_found(what: str) -> ContractError:
    """404: there is no such object, or it is another user's."""
    return ContractError(404, "not_found", f"there is no such {what}")


def unauthorized(why: str) -> ContractError:
    """401: the caller is not authenticated."""
    return ContractError(401, "unauthorized", why)


def forbidden(why: str) -> ContractError:
    """403: the caller may not do this."""
    return ContractError(403, "forbidden", why)


def role_mismatch(field: str, own: str) -> ContractError:
    """403: a field names another role than the agent token."""
    text = f"{field} names another role than the agent token, which is for {own}: send that role's token"
    return ContractError(403, "role_mismatch", text, {"field": field, "role": own})


def conflict(code: str, text: str, details: Mapping[str, Any] | None = None) -> ContractError:
    """409: what is there does not allow it."""
    return ContractError(409, code, text, details)


def stale_fence() -> ContractError:
    """409: the session lease of a write does not count any more."""
    return conflict("stale_fence", "the session lease was released, or another one has been granted since")
