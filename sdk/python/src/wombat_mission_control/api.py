"""Requests and answers without a framework: what an adapter passes in, and what it sends back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, unquote

from .errors import ContractError, not_found
from .jsonio import MAX_BODY, Object, dumps

if TYPE_CHECKING:
    from .call import Call

#: Headers that say who calls, for whom, and which call it is: each comes once, as UTF-8.
_ONCE = {
    "x-agent-token": "X-Agent-Token",
    "x-internal-token": "X-Internal-Token",
    "x-on-behalf-of": "X-On-Behalf-Of",
    "x-session-fence": "X-Session-Fence",
    "idempotency-key": "Idempotency-Key",
    "last-event-id": "Last-Event-ID",
}

#: Where the endpoints of the contract are.
PREFIX = "/api/mission-control"


class Headers:
    """The headers of a request; those that say who calls come once."""

    def __init__(self, raw: Sequence[tuple[str, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for given, value in raw:
            name = given.lower()
            shown = _ONCE.get(name)
            if shown is None:
                self._values.setdefault(name, value.decode("latin-1"))
                continue
            if name in self._values:
                raise _invalid_header(shown, "is sent more than once")
            try:
                self._values[name] = value.decode("utf-8")
            except UnicodeDecodeError:
                raise _invalid_header(shown, "is not valid UTF-8") from None

    def get(self, name: str) -> str | None:
        """A header by its name in lower case."""
        return self._values.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._values


def _invalid_header(shown: str, why: str) -> ContractError:
    text = f"the header {shown} {why}; send it once, as UTF-8 text"
    return ContractError(400, "invalid_header", text, {"header": shown})


@dataclass(frozen=True)
class Request:
    """A request as an adapter passes it in."""

    method: str
    headers: Headers
    query: Mapping[str, str]
    body: bytes = b""


class ByteStream(Protocol):
    """Bytes as they come, for servers with and without a thread for each stream."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass
class Response:
    """An answer as an adapter sends it: bytes, or a stream of them."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: ByteStream | None = None


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of JSON."""
    body = dumps(value).encode("utf-8", "replace")
    return Response(status, {"content-type": "application/json"} | dict(headers or {}), body)


def error_response(error: ContractError) -> Response:
    """An error in the contract's shape."""
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return json_response(error.body(), error.status, headers)


def created(body: Object, replayed: bool) -> Response:
    """The answer to a create; says whether it was replayed."""
    return json_response(body, headers={"idempotent-replayed": "true"} if replayed else None)


def query_of(text: str) -> dict[str, str]:
    """The parameters of a query; of several with one name the last counts."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except (UnicodeDecodeError, ValueError):
        raise ContractError(400, "invalid_payload", "the query is not valid UTF-8") from None


Handler = Callable[["Call"], Response]


@dataclass(frozen=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    #: The most bytes of its body.
    max_body: int

    @property
    def parts(self) -> list[str]:
        """The path between its slashes."""
        return self.path.strip("/").split("/")


@dataclass(frozen=True)
class Match:
    """An endpoint and what its path holds."""

    endpoint: Endpoint
    params: Mapping[str, str]


def _nothing(_call: Call) -> Response:
    return Response(404)


#: Stands for an endpoint of the application's own.
OWN = Match(Endpoint("", "", _nothing, 0), {})


class Routes:
    """Endpoints of one part of the contract, and the features that are whole with them."""

    def __init__(self, *features: str) -> None:
        self.features = features
        self.endpoints: list[Endpoint] = []

    def add(self, method: str, path: str, max_body: int = MAX_BODY) -> Callable[[Handler], Handler]:
        """Serves an endpoint by a function."""

        def register(handler: Handler) -> Handler:
            self.endpoints.append(Endpoint(method, path if path.startswith("/api/") else PREFIX + path, handler, max_body))
            return handler

        return register


class Router:
    """Finds the endpoint of a request."""

    def __init__(self, routes: Sequence[Routes]) -> None:
        self.features = [feature for part in routes for feature in part.features]
        self.endpoints = [endpoint for part in routes for endpoint in part.endpoints]
        self._by_length: dict[int, list[tuple[list[str], Endpoint]]] = {}
        for endpoint in self.endpoints:
            self._by_length.setdefault(len(endpoint.parts), []).append((endpoint.parts, endpoint))
        for found in self._by_length.values():
            # A fixed name comes before a parameter.
            found.sort(key=lambda one: [part.startswith("{") for part in one[0]])

    def match(self, method: str, raw_path: str) -> Match:
        """The endpoint of a path as it was sent, percent signs and all."""
        segments = raw_path.strip("/").split("/")
        takes_path = False
        for parts, endpoint in self._by_length.get(len(segments), []):
            params = _fits(parts, segments)
            if params is None:
                continue
            if endpoint.method == method:
                if any("\0" in value or value == "" for value in params.values()):
                    raise not_found("object")
                return Match(endpoint, params)
            takes_path = True
        if takes_path:
            raise ContractError(405, "method_not_allowed", "this endpoint does not take that method")
        raise ContractError(404, "not_found", "there is no such endpoint")


def _fits(parts: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for part, segment in zip(parts, segments):
        if part.startswith("{"):
            try:
                params[part[1:-1]] = unquote(segment, errors="strict")
            except UnicodeDecodeError:
                raise not_found("object") from None
        elif part != segment:
            return None
    return params
