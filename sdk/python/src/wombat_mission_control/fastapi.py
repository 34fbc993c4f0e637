"""FastAPI: the contract's endpoints as a router, and who calls as dependencies of an application's own."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from fastapi.responses import Response as HttpResponse
from fastapi.responses import StreamingResponse

from .api import Headers, Response, error_response, query_of
from .core import MissionControl
from .errors import ContractError
from .scope import Agent, Tenant


def _headers(request: HttpRequest) -> Headers:
    return Headers([(name.decode("latin-1"), value) for name, value in request.headers.raw])


async def _body(request: HttpRequest, most: int) -> bytes:
    """The body, within its limit: a larger one is refused before it has arrived."""
    parts: list[bytes] = []
    size = 0
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > most:
        raise _too_large(most)
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _too_large(most: int) -> ContractError:
    return ContractError(413, "payload_too_large", f"the body is larger than {most} bytes", {"max_bytes": most})


def _answer(response: Response) -> HttpResponse:
    if response.stream is not None:
        return StreamingResponse(response.stream, response.status, response.headers)
    return HttpResponse(response.body, response.status, response.headers)


def _endpoint(mc: MissionControl) -> Callable[[HttpRequest], Any]:
    async def serve(request: HttpRequest) -> HttpResponse:
        path = request.scope.get("raw_path") or request.scope["path"].encode()
        root = request.scope.get("root_path", "")
        text = path.decode("latin-1").partition("?")[0].removeprefix(root)
        try:
            headers = _headers(request)
            query = query_of(request.scope["query_string"].decode("latin-1"))
            call = await asyncio.to_thread(mc.begin, request.method, text, headers, query)
            body = await _body(request, call.match.endpoint.max_body)
        except ContractError as error:
            return _answer(error_response(error))
        return _answer(await asyncio.to_thread(mc.handle, call, body))

    return serve


def mission_control_router(mc: MissionControl) -> APIRouter:
    """The contract's endpoints: `app.include_router(mission_control_router(mc))`."""
    router = APIRouter(tags=["mission-control"], lifespan=_lifespan(mc))
    serve = _endpoint(mc)
    for path in dict.fromkeys(endpoint.path for endpoint in mc.router.endpoints):
        # A run's key may hold anything, also an encoded slash: the path is matched as it was sent.
        router.add_api_route(path, serve, methods=_METHODS, include_in_schema=False)
    for path in ("/api/mission-control/{rest:path}", "/api/tools/{rest:path}"):
        router.add_api_route(path, serve, methods=_METHODS, include_in_schema=False)
    return router


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def _lifespan(mc: MissionControl) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        mc.upkeep.start()
        _end_streams_on_signals(mc)
        yield
        await asyncio.to_thread(mc.upkeep.stop)

    return lifespan


def _end_streams_on_signals(mc: MissionControl) -> None:
    """Servers wait for open connections when they are to stop: the event streams end first."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if callable(before):
            signal.signal(number, _both(mc, before))


def _both(mc: MissionControl, before: Callable[[int, Any], Any]) -> Callable[[int, Any], None]:
    def handle(number: int, frame: Any) -> None:
        mc.upkeep.end_streams()
        before(number, frame)

    return handle


def install_errors(app: FastAPI) -> None:
    """Answers `ContractError` in the contract's shape, also in an application's own endpoints."""

    async def answer(_request: HttpRequest, error: Exception) -> HttpResponse:
        assert isinstance(error, ContractError)
        headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        return JSONResponse(error.body(), error.status, headers)

    app.add_exception_handler(ContractError, answer)


def tenant_dependency(mc: MissionControl) -> Callable[[HttpRequest], Any]:
    """Who calls an application's own endpoint: an agent of a user, or the user.

    `Me = Annotated[Tenant, Depends(tenant_dependency(mc))]`
    """

    async def tenant(request: HttpRequest) -> Tenant:
        call = mc.call_of(request.method, _headers(request))
        return await asyncio.to_thread(call.tenant)

    return tenant


def agent_dependency(mc: MissionControl) -> Callable[[HttpRequest], Any]:
    """The agent that calls an application's own endpoint; a call without a valid token is a 401."""

    async def agent(request: HttpRequest) -> Agent:
        call = mc.call_of(request.method, _headers(request))
        return await asyncio.to_thread(call.agent)

    return agent


def user_dependency(mc: MissionControl) -> Callable[[HttpRequest], Any]:
    """The application's user, as `find_user` found it, for whom an agent or a person calls."""

    async def user(request: HttpRequest) -> Any:
        call = mc.call_of(request.method, _headers(request))
        await asyncio.to_thread(call.tenant)
        return call.user

    return user
