"""The application as a whole, and how it says that something is wrong."""

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from . import mission_control, schools
from .store import Conflict

app = FastAPI(title="Schools", version="1")
app.include_router(mission_control.router)
app.include_router(schools.router)

MAX_BODY_BYTES = 1024 * 1024
CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}


def said(status: int, error: str, code: str, details: Any = None, headers: Any = None) -> Any:
    body = {"error": error, "code": code}
    if details is not None:
        body["details"] = details
    return JSONResponse(body, status, headers)


@app.middleware("http")
async def limit_bodies(request: Request, call_next: Any) -> Any:
    length = request.headers.get("content-length", "")
    if length in ("", "0") and "transfer-encoding" not in request.headers:
        return await call_next(request)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        return said(415, "the body must be JSON", "unsupported_media_type")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        # A body of unknown length is not waited for.
        return said(413, "the body is too large, or its length is not told", "too_large")
    return await call_next(request)


@app.exception_handler(StarletteHTTPException)
def refused(_: Request, error: HTTPException) -> Any:
    return said(
        error.status_code,
        str(error.detail),
        CODES.get(error.status_code, "invalid_request"),
        headers=error.headers,
    )


@app.exception_handler(RequestValidationError)
def invalid(_: Request, error: RequestValidationError) -> Any:
    problems = [
        {"at": ".".join(str(part) for part in problem["loc"]), "is": problem["msg"]}
        for problem in error.errors()
    ]
    first = f"{problems[0]['at']}: {problems[0]['is']}"
    return said(400, first, "invalid_request", {"problems": problems})


@app.exception_handler(Conflict)
def conflict(_: Request, error: Conflict) -> Any:
    text = "this key was used for another request"
    return said(409, text, "idempotency_conflict", {"original": error.original})


@app.get("/healthz", include_in_schema=False)
def healthz() -> dict[str, str]:
    return {"status": "ok"}
