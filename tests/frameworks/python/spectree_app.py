from datetime import date, datetime
from typing import Literal

import falcon
from pydantic import BaseModel, Field, field_validator
from spectree import SpecTree
from spectree.model_adapter.pydantic_adapter import BaseFile

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


class Photo(BaseModel):
    photo: BaseFile


api = SpecTree("falcon")


class Items:
    @api.validate(query=Filters)
    def on_get(self, request, response):
        filters = request.context.query
        seen("list", name=filters.name, limit=filters.limit, tags=filters.tags)
        response.media = []

    @api.validate(json=Item)
    def on_post(self, request, response):
        seen("create", item=request.context.json)
        response.media, response.status = {"id": 8}, 201


class OneItem:
    @api.validate()
    def on_get(self, request, response, item_id):
        seen("get", id=item_id)
        response.media = {"id": item_id}

    @api.validate(json=Item)
    def on_put(self, request, response, item_id):
        seen("update", id=item_id, item=request.context.json)
        response.media = {"id": item_id}

    @api.validate()
    def on_delete(self, request, response, item_id):
        seen("delete", id=item_id)
        response.status = 204


class ItemPhoto:
    @api.validate(form=Photo)
    def on_post(self, request, response, item_id):
        seen("upload", id=item_id, bytes=0)
        response.media = {"bytes": 0}


app = falcon.App()
app.add_route("/items", Items())
app.add_route("/items/{item_id:int}", OneItem())
app.add_route("/items/{item_id:int}/photo", ItemPhoto())
api.register(app)
serve_wsgi(app)
