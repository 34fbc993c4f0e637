"""A to-do list for people who log in."""

import os
from typing import Annotated

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, EmailStr, StringConstraints
from sqlalchemy import select

from .auth import Me, hash_password, is_password, session_token
from .db import Base, Db, Todo, User, engine

app = FastAPI(title="Todos", version="2.3.0", root_path=os.environ.get("ROOT_PATH", ""))
Base.metadata.create_all(engine)


class Credentials(BaseModel):
    email: EmailStr
    password: str


class NewTodo(BaseModel):
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class TodoChange(BaseModel):
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    done: bool | None = None


class TodoOut(BaseModel):
    id: int
    title: str
    done: bool


@app.post("/register", status_code=201)
def register(new: Credentials, db: Db) -> dict[str, int]:
    user = User(email=new.email, password_hash=hash_password(new.password))
    db.add(user)
    db.commit()
    return {"id": user.id}


@app.post("/login")
def login(given: Credentials, db: Db) -> dict[str, str]:
    user = db.scalar(select(User).where(User.email == given.email))
    if user is None or not is_password(given.password, user.password_hash):
        raise HTTPException(401, "Wrong e-mail or password")
    return {"access_token": session_token(user), "token_type": "bearer"}


@app.get("/todos", response_model=list[TodoOut])
def list_todos(me: Me, db: Db, done: bool | None = None):
    """The user's own to-dos, open and done."""
    query = select(Todo).where(Todo.owner_id == me.id).order_by(Todo.id)
    return db.scalars(query if done is None else query.where(Todo.done == done)).all()


@app.post("/todos", status_code=201, response_model=TodoOut)
def create_todo(new: NewTodo, me: Me, db: Db):
    """Add a to-do."""
    todo = Todo(owner_id=me.id, title=new.title)
    db.add(todo)
    db.commit()
    return todo


def own(todo_id: int, me: User, db) -> Todo:
    todo = db.get(Todo, todo_id)
    if todo is None or todo.owner_id != me.id:
        raise HTTPException(404, "No such to-do")
    return todo


@app.patch("/todos/{todo_id}", response_model=TodoOut)
def change_todo(todo_id: int, change: TodoChange, me: Me, db: Db):
    """Rename a to-do, or mark it as done."""
    todo = own(todo_id, me, db)
    for name, value in change.model_dump(exclude_none=True).items():
        setattr(todo, name, value)
    db.commit()
    return todo


@app.delete("/todos/{todo_id}", status_code=204)
def delete_todo(todo_id: int, me: Me, db: Db) -> None:
    """Delete a to-do for good."""
    db.delete(own(todo_id, me, db))
    db.commit()
