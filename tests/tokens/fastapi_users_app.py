"""People log in with the library's own tokens; agents are a second backend."""

from contextlib import asynccontextmanager

from agent_token import agents
from fastapi import Depends, FastAPI, HTTPException
from fastapi_users import BaseUserManager, FastAPIUsers, IntegerIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTable, SQLAlchemyUserDatabase
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import serve


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTable[int], Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


engine = create_async_engine("sqlite+aiosqlite:///app.db")
session_maker = async_sessionmaker(engine, expire_on_commit=False)


class UserManager(IntegerIDMixin, BaseUserManager[User, int]):
    pass


async def get_session():
    async with session_maker() as session:
        yield session


async def get_user_manager(session: AsyncSession = Depends(get_session)):
    yield UserManager(SQLAlchemyUserDatabase(session, User))


def get_jwt_strategy():
    return JWTStrategy("the-secret-of-people-of-32-bytes", 900)


people = AuthenticationBackend("people", BearerTransport("login"), get_jwt_strategy)
current_user = FastAPIUsers[User, int](get_user_manager, [people, agents]).current_user(active=True)


@asynccontextmanager
async def lifespan(app):
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with session_maker() as session:
        for user_id, name in ((7, "ann"), (8, "bob")):
            session.add(User(id=user_id, email=f"{name}@example.org", hashed_password="-", is_active=True))
        await session.commit()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/me")
def me(user: User = Depends(current_user)):
    return {"user_id": str(user.id), "role": getattr(user, "agent_role", None)}


@app.get("/users/{user_id}")
def user(user_id: int, user: User = Depends(current_user)):
    if user_id != user.id:
        raise HTTPException(404)
    return me(user)


@app.get("/login")
async def login():
    async with session_maker() as session:
        return {"token": await get_jwt_strategy().write_token(await session.get(User, 7))}


serve.asgi(app)
