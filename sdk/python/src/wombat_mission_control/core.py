"""The control plane of an application: the contract's rules over its database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from .api import OWN, Headers, Request, Response, Router, error_response
from .call import Call
from .errors import ContractError
from .features import ROUTES
from .features.erasing import Erased, erased_since
from .features.leases import check_fence
from .features.retention import check_days
from .features.tools import Tool, ToolFunction
from .features.upkeep import Upkeep
from .people import People
from .scope import Scope
from .settings import FindUser, Settings
from .storage import Storage
from .storage.engine import Tx
from .tokens import TokenVerifier

log = logging.getLogger("wombat_mission_control")


class MissionControl:
    """All of the contract, for one application.

    `find_user` is where the application's own users come in: it gets who a call is for and returns the
    application's user, or `None`, which is a 404.
    """

    def __init__(self, storage: Storage | Engine | str, settings: Settings, find_user: FindUser) -> None:
        if isinstance(storage, str):
            storage = Storage.open(storage)
        self.storage = storage if isinstance(storage, Storage) else Storage(storage)
        check_days(settings.retention_days)
        self.settings = settings
        self.find_user = find_user
        self.verifier = TokenVerifier(settings)
        self.router = Router(ROUTES)
        self.tools: dict[str, Tool] = {}
        self.upkeep = Upkeep(self)
        self._erased = Erased()

    @property
    def features(self) -> list[str]:
        """What `GET /capabilities` announces."""
        return self.router.features + (["tools"] if self.tools else [])

    def tool(self, name: str, description: str, parameters: Mapping[str, Any]) -> Callable[[ToolFunction], ToolFunction]:
        """Offers a function of the application to agents: `parameters` is the JSON Schema of its arguments."""

        def register(function: ToolFunction) -> ToolFunction:
            self.tools[name] = Tool(name, description, dict(parameters), function)
            return function

        return register

    def person(self, user_id: str) -> People:
        """A person at the application's own pages, whom the application has logged in itself."""
        return People(self, user_id)

    # Transactions.

    @contextmanager
    def write(self, scope: Scope) -> Iterator[Tx]:
        """A write of a user's objects; refused once somebody else holds its session lease."""
        with self.storage.write(scope.user_id) as tx:
            if scope.issued_at_ms is not None:
                erased_since(tx.conn, scope.user_id, scope.issued_at_ms)
            if scope.fence is not None:
                check_fence(tx, scope, scope.fence)
            yield tx

    def refuse_erased(self, user_id: str, issued_at_ms: int) -> None:
        """401 for a token from before its user's data was erased. What other processes erase is known a second later."""
        self._erased.refuse(self.storage, user_id, issued_at_ms)

    # Calls.

    def begin(self, method: str, raw_path: str, headers: Headers, query: Mapping[str, str]) -> Call:
        """A call, before its body is read; refuses whoever has no valid token."""
        match = self.router.match(method, raw_path)
        call = Call(self, Request(method, headers, query), match)
        call.check_token()
        return call

    def handle(self, call: Call, body: bytes) -> Response:
        """Answers a call."""
        call.request = replace(call.request, body=body)
        endpoint = call.match.endpoint
        try:
            return endpoint.handler(call)
        except ContractError as error:
            self.upkeep.note_denied(call, endpoint.path, error)
            return error_response(error)
        except Exception:
            log.exception("%s %s failed", endpoint.method, endpoint.path)
            return error_response(ContractError(500, "internal_error", "something went wrong; the log says more"))

    def call_of(self, method: str, headers: Headers) -> Call:
        """A call of an endpoint of the application's own, to ask who makes it."""
        return Call(self, Request(method, headers, {}), OWN)
