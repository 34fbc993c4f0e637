"""An application whose people log in with the same library."""

import sys
from types import ModuleType

from flask import Flask, abort
from flask_jwt_extended import JWTManager, create_access_token, current_user, get_jwt, jwt_required

import serve

app = Flask(__name__)
app.config["JWT_SECRET_KEY"] = "the-secret-of-people-of-32-bytes"
manager = JWTManager(app)
PEOPLE = {7: "ann", 8: "bob"}


def find_user(user_id):
    return int(user_id) if user_id.isdigit() and int(user_id) in PEOPLE else None


# What the recipe imports from the application.
myapp = sys.modules["myapp"] = ModuleType("myapp")
myapp.app, myapp.manager, myapp.find_user = app, manager, find_user
import agent_token  # noqa: E402, F401


@app.get("/login")
def login():
    return {"token": create_access_token("7")}


@app.get("/me")
@jwt_required()
def me():
    return {"user_id": str(current_user), "role": get_jwt().get("agent_role")}


@app.get("/users/<user_id>")
@jwt_required()
def user(user_id):
    return me() if user_id == str(current_user) else abort(404)


serve.wsgi(app)
