from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import FastAPI, Query, UploadFile
from pydantic import BaseModel, Field, HttpUrl, field_validator

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
    link: HttpUrl | Literal[""] = ""
    note: str | None = None
    owner: Owner | None = None
    tags: list[str] = []

    @field_validator("name")
    @classmethod
    def not_reserved(cls, name: str) -> str:
        if name == "house":
            raise ValueError(RESERVED)
        return name


app = FastAPI()


@app.get("/items")
def list_items(
    filter_name: Annotated[str | None, Query(alias="filter[name]")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    tags: Annotated[list[str] | None, Query()] = None,
):
    seen("list", name=filter_name, limit=limit, tags=tags)
    return []


@app.get("/items/{item_id}")
def get_item(item_id: int):
    seen("get", id=item_id)
    return {"id": item_id}


@app.post("/items", status_code=201)
def create_item(item: Item):
    seen("create", item=item)
    return {"id": 8}


@app.put("/items/{item_id}")
def update_item(item_id: int, item: Item):
    seen("update", id=item_id, item=item)
    return {"id": item_id}


@app.delete("/items/{item_id}", status_code=204)
def delete_item(item_id: int):
    seen("delete", id=item_id)


@app.post("/items/{item_id}/photo")
def upload_photo(item_id: int, photo: UploadFile):
    seen("upload", id=item_id, bytes=photo.size)
    return {"bytes": photo.size}


serve_asgi(app)
