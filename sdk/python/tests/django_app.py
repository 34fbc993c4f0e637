"""The application that the tests run in Django: the library's endpoints, and one of the application's own in Ninja."""

import os
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest
from django.urls import path

settings.configure(
    DEBUG=False, SECRET_KEY="a key of tests", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, APPEND_SLASH=False,
    USE_TZ=True,
)
django.setup()

from ninja import NinjaAPI  # noqa: E402

from wombat_mission_control import ContractError, MissionControl, Settings, ToolCall, any_user  # noqa: E402
from wombat_mission_control.django import answer_error, mission_control_urls, tenant_auth  # noqa: E402

mc = MissionControl(os.environ["DATABASE_URL"], Settings.from_env(), any_user)
mc.storage.create_all()


@mc.tool("greet", "Greets somebody", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
def greet(call: ToolCall) -> Any:
    return {"greeting": f"Hello {call.arguments['name']}, says {call.agent.user_id}"}


api = NinjaAPI()
api.exception_handler(ContractError)(answer_error)


@api.get("/me", auth=tenant_auth(mc))
def me(request: HttpRequest) -> dict[str, str]:
    return {"user_id": request.auth.user_id}  # type: ignore[attr-defined]


urlpatterns = [*mission_control_urls(mc), path("own/", api.urls)]
app = get_asgi_application()
wsgi = get_wsgi_application()
