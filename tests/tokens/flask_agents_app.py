from agent_token import app
from flask import abort
from flask_jwt_extended import get_jwt, get_jwt_identity, jwt_required

import serve


@app.get("/me")
@jwt_required()
def me():
    return {"user_id": get_jwt_identity(), "role": get_jwt()["agent_role"]}


@app.get("/users/<user_id>")
@jwt_required()
def user(user_id):
    return me() if user_id == get_jwt_identity() else abort(404)


serve.wsgi(app)
