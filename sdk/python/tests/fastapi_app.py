"""The application that the tests run: the library in FastAPI over the database of `DATABASE_URL`."""

import os
from typing import Any

from fastapi import FastAPI

from wombat_mission_control import MissionControl, Settings, ToolCall, any_user
from wombat_mission_control.fastapi import install_errors, mission_control_router

mc = MissionControl(os.environ["DATABASE_URL"], Settings.from_env(), any_user)
mc.storage.create_all()


@mc.tool("greet", "Greets somebody", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
def greet(call: ToolCall) -> Any:
    return {"greeting": f"Hello {call.arguments['name']}, says {call.agent.user_id}"}


app = FastAPI()
app.include_router(mission_control_router(mc))
install_errors(app)
