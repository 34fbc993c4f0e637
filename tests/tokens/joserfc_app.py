from agent_token import agent
from flask import Flask, abort, g

import serve

app = Flask(__name__)
app.before_request(agent)


@app.get("/me")
def me():
    return {"user_id": g.agent["user_id"], "role": g.agent["agent_role"]}


@app.get("/users/<user_id>")
def user(user_id):
    return me() if user_id == g.agent["user_id"] else abort(404)


serve.wsgi(app)
