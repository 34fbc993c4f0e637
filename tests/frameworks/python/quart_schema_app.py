from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field, field_validator
from quart import Quart
from quart_schema import DataSource, QuartSchema, RequestSchemaValidationError, validate_querystring, validate_request
from quart_schema.pydantic import File

from seen import RESERVED, seen, serve_asgi


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
    photo: File


app = Quart(__name__)
QuartSchema(app, convert_casing=False)


@app.errorhandler(RequestSchemaValidationError)
async def refused(error):
    """As in its documentation."""
    return {"errors": str(error.validation_error)}, 400


@app.get("/items")
@validate_querystring(Filters)
async def list_items(query_args: Filters):
    seen("list", name=query_args.name, limit=query_args.limit, tags=query_args.tags)
    return []


@app.get("/items/<int:item_id>")
async def get_item(item_id: int):
    seen("get", id=item_id)
    return {"id": item_id}


@app.post("/items")
@validate_request(Item)
async def create_item(data: Item):
    seen("create", item=data)
    return {"id": 8}, 201


@app.put("/items/<int:item_id>")
@validate_request(Item)
async def update_item(item_id: int, data: Item):
    seen("update", id=item_id, item=data)
    return {"id": item_id}


@app.delete("/items/<int:item_id>")
async def delete_item(item_id: int):
    seen("delete", id=item_id)
    return "", 204


@app.post("/items/<int:item_id>/photo")
@validate_request(Photo, source=DataSource.FORM_MULTIPART)
async def upload_photo(item_id: int, data: Photo):
    seen("upload", id=item_id, bytes=0)
    return {"bytes": 0}


serve_asgi(app)
