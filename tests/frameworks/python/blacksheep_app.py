from dataclasses import dataclass
from datetime import date
from enum import Enum

from blacksheep import Application, FromFiles, FromJSON, FromQuery, delete, get, json, post, put
from blacksheep.server.openapi.v3 import OpenAPIHandler
from openapidocs.v3 import Info
from pydantic import BaseModel, field_validator

from seen import RESERVED, seen, serve_asgi


class Status(str, Enum):
    NONE = ""
    DRAFT = "draft"
    LIVE = "live"


class Owner(BaseModel):
    name: str
    age: int | None = None


class Item(BaseModel):
    name: str
    quantity: int
    price: int | float
    due: date
    status: Status = Status.NONE
    note: str | None = None
    owner: Owner | None = None
    tags: list[str] = []

    @field_validator("name")
    @classmethod
    def not_reserved(cls, name):
        if name == "house":
            raise ValueError(RESERVED)
        return name


class FilterName(FromQuery[str]):
    name = "filter[name]"


app = Application()
docs = OpenAPIHandler(info=Info(title="Shop", version="1"))
docs.bind_app(app)


@get("/items")
async def list_items(name: FilterName, limit: FromQuery[int] = FromQuery(20), tags: FromQuery[list[str]] = FromQuery([])):
    seen("list", name=name.value, limit=limit.value, tags=tags.value)
    return json([])


@get("/items/{item_id}")
async def get_item(item_id: int):
    seen("get", id=item_id)
    return json({"id": item_id})


@post("/items")
async def create_item(item: FromJSON[Item]):
    seen("create", item=item.value)
    return json({"id": 8}, status=201)


@put("/items/{item_id}")
async def update_item(item_id: int, item: FromJSON[Item]):
    seen("update", id=item_id, item=item.value)
    return json({"id": item_id})


@delete("/items/{item_id}")
async def delete_item(item_id: int) -> None:
    seen("delete", id=item_id)


@post("/items/{item_id}/photo")
async def upload_photo(item_id: int, photo: FromFiles):
    size = sum(len(part.data) for part in photo.value)
    seen("upload", id=item_id, bytes=size)
    return json({"bytes": size})


serve_asgi(app)
