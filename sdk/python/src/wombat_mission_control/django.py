"""Django and Django Ninja: the contract's endpoints as URLs, and who calls as a function for views of an application's own.

`urlpatterns = [*mission_control_urls(mc), …]`, under WSGI and ASGI. The library keeps its tables by SQLAlchemy in
the same database; `wombat_mission_control.migrations.upgrade` makes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt

from .api import ByteStream, Headers, Response, error_response, query_of
from .call import Call
from .core import MissionControl
from .errors import ContractError
from .scope import Agent, Tenant


def _headers(request: HttpRequest) -> Headers:
    scope = getattr(request, "scope", None)
    if scope is not None:
        # As they were sent: Django joins those that come twice.
        return Headers([(name.decode("latin-1"), value) for name, value in scope["headers"]])
    return Headers([(name, value.encode("latin-1", "replace")) for name, value in request.headers.items()])


def _path(request: HttpRequest) -> str:
    """The path as it was sent, percent signs and all, where the server passes that on."""
    scope = getattr(request, "scope", None)
    if scope is not None and scope.get("raw_path"):
        return str(scope["raw_path"].decode("latin-1")).partition("?")[0]
    raw = request.META.get("RAW_URI") or request.META.get("REQUEST_URI")
    if raw:
        return str(raw).partition("?")[0]
    from urllib.parse import quote

    return quote(request.path)


def _body(request: HttpRequest, most: int) -> bytes:
    announced = request.META.get("CONTENT_LENGTH") or "0"
    body = b"" if announced.isdigit() and int(announced) > most else request.read(most + 1)
    if len(body) > most or (announced.isdigit() and int(announced) > most):
        text = f"the body is larger than {most} bytes"
        raise ContractError(413, "payload_too_large", text, {"max_bytes": most})
    return bytes(body)


async def _async(stream: ByteStream) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield chunk


def _sync(stream: ByteStream) -> Iterator[bytes]:
    yield from stream


def _answer(request: HttpRequest, response: Response) -> HttpResponseBase:
    made: HttpResponseBase
    if response.stream is None:
        made = HttpResponse(response.body, status=response.status)
        if "content-type" not in response.headers:
            del made["content-type"]
    else:
        is_async = getattr(request, "scope", None) is not None
        chunks = _async(response.stream) if is_async else _sync(response.stream)
        made = StreamingHttpResponse(chunks, status=response.status)
    for name, value in response.headers.items():
        made[name] = value
    return made


def answer_error(request: HttpRequest, error: ContractError) -> HttpResponseBase:
    """A `ContractError` in the contract's shape: for Ninja's `api.exception_handler(ContractError)`, and for views."""
    return _answer(request, error_response(error))


def mission_control_view(mc: MissionControl) -> Callable[..., HttpResponseBase]:
    """The view of all endpoints."""

    def view(request: HttpRequest, **_path_parts: Any) -> HttpResponseBase:
        mc.upkeep.start()
        try:
            headers = _headers(request)
            query = query_of(request.META.get("QUERY_STRING", ""))
            call = mc.begin(request.method or "GET", _path(request), headers, query)
            body = _body(request, call.match.endpoint.max_body)
        except ContractError as error:
            return answer_error(request, error)
        return _answer(request, mc.handle(call, body))

    exempt: Callable[..., HttpResponseBase] = csrf_exempt(view)
    return exempt


def mission_control_urls(mc: MissionControl) -> list[URLPattern]:
    """The contract's endpoints, at the paths that the contract has: for the root `urlpatterns`."""
    view = mission_control_view(mc)
    return [re_path(r"^api/mission-control/.*$", view), re_path(r"^api/tools(?:/.*)?$", view)]


def call_of(mc: MissionControl, request: HttpRequest) -> Call:
    """A call of a view of the application's own: `call_of(mc, request).tenant()` says who makes it, `.user` for whom."""
    return mc.call_of(request.method or "GET", _headers(request))


def tenant_auth(mc: MissionControl) -> Callable[[HttpRequest], Tenant]:
    """Who calls: for Ninja's `auth=`. An agent of a user, or the user; others get a 401."""

    def authenticate(request: HttpRequest) -> Tenant:
        return call_of(mc, request).tenant()

    return authenticate


def agent_auth(mc: MissionControl) -> Callable[[HttpRequest], Agent]:
    """The agent that calls: for Ninja's `auth=`."""

    def authenticate(request: HttpRequest) -> Agent:
        return call_of(mc, request).agent()

    return authenticate
