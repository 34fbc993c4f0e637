"""What this backend offers."""

from __future__ import annotations

from ..api import Response, Routes, json_response
from ..call import Call

routes = Routes()

CONTRACT_VERSION = "v1"


@routes.add("GET", "/capabilities")
def capabilities(call: Call) -> Response:
    """The features that are whole here."""
    call.anyone()
    answer = {"contract_version": CONTRACT_VERSION, "features": {name: True for name in call.mc.features}}
    if call.mc.settings.task_page is not None:
        answer["pages"] = {"task": call.mc.settings.task_page}
    return json_response(answer)
