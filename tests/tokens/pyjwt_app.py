from agent_token import agent
from fastapi import Depends, FastAPI, HTTPException

import serve

app = FastAPI()


@app.get("/me")
def me(claims: dict = Depends(agent)):
    return {"user_id": claims["user_id"], "role": claims["agent_role"]}


@app.get("/users/{user_id}")
def user(user_id: str, claims: dict = Depends(agent)):
    if user_id != claims["user_id"]:
        raise HTTPException(404)
    return me(claims)


serve.asgi(app)
