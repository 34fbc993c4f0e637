from datetime import date, datetime
from typing import Literal

from flask_openapi3 import FileStorage, OpenAPI
from pydantic import BaseModel, Field, field_validator

from seen import RESERVED, seen, serve_wsgi


class Owner(BaseModel):
    name: str
    age: int | None = None


class Item(BaseModel):
    name: str = Field(min_length=1, max_length=40)
    quantity: int = Field(ge=0)
    price: int | float
    due: date | datetime
    status: Literal["", "draft", "live"] = ""
    note: str | None = None
    owner: Owner | None = None
    tags: list[str] = []

    @field_validator("name")
    @classmethod
    def not_reserved(cls, name):
        if name == "house":
            raise ValueError(RESERVED)
        return name


class Filters(BaseModel):
    name: str | None = Field(None, alias="filter[name]")
    limit: int = Field(20, ge=1, le=100)
    tags: list[str] = []


class ItemId(BaseModel):
    item_id: int


class Photo(BaseModel):
    photo: FileStorage


app = OpenAPI(__name__)


@app.get("/items")
def list_items(query: Filters):
    seen("list", name=query.name, limit=query.limit, tags=query.tags)
    return []


@app.get("/items/<int:item_id>")
def get_item(path: ItemId):
    seen("get", id=path.item_id)
    return {"id": path.item_id}


@app.post("/items")
def create_item(body: Item):
    seen("create", item=body)
    return {"id": 8}, 201


@app.put("/items/<int:item_id>")
def update_item(path: ItemId, body: Item):
    seen("update", id=path.item_id, item=body)
    return {"id": path.item_id}


@app.delete("/items/<int:item_id>")
def delete_item(path: ItemId):
    seen("delete", id=path.item_id)
    return "", 204


@app.post("/items/<int:item_id>/photo")
def upload_photo(path: ItemId, form: Photo):
    size = len(form.photo.read())
    seen("upload", id=path.item_id, bytes=size)
    return {"bytes": size}


serve_wsgi(app)
