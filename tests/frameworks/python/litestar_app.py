from datetime import date, datetime
from typing import Annotated, Literal

from litestar import Litestar, delete, get, post, put
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter
from pydantic import BaseModel, Field, field_validator

from seen import RESERVED, seen, serve_asgi


class Owner(BaseModel):
    name: str
    age: int | None = None


class Item(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=40)]
    quantity: Annotated[int, Field(ge=0)]
    price: int | float
    due: date | datetime
    status: Literal["", "draft", "live"] = ""
    note: str | None = None
    owner: Owner | None = None
    tags: list[str] = []

    @field_validator("name")
    @classmethod
    def not_reserved(cls, name: str) -> str:
        if name == "house":
            raise ValueError(RESERVED)
        return name


@get("/items")
async def list_items(
    name: Annotated[str | None, Parameter(query="filter[name]")] = None,
    limit: Annotated[int, Parameter(ge=1, le=100)] = 20,
    tags: list[str] | None = None,
) -> list[dict]:
    seen("list", name=name, limit=limit, tags=tags)
    return []


@get("/items/{item_id:int}")
async def get_item(item_id: int) -> dict:
    seen("get", id=item_id)
    return {"id": item_id}


@post("/items")
async def create_item(data: Item) -> dict:
    seen("create", item=data)
    return {"id": 8}


@put("/items/{item_id:int}")
async def update_item(item_id: int, data: Item) -> dict:
    seen("update", id=item_id, item=data)
    return {"id": item_id}


@delete("/items/{item_id:int}")
async def delete_item(item_id: int) -> None:
    seen("delete", id=item_id)


@post("/items/{item_id:int}/photo")
async def upload_photo(
    item_id: int,
    data: Annotated[UploadFile, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict:
    content = await data.read()
    seen("upload", id=item_id, bytes=len(content))
    return {"bytes": len(content)}


serve_asgi(Litestar([list_items, get_item, create_item, update_item, delete_item, upload_photo]))
