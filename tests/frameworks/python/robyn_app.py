from datetime import date, datetime
from typing import Literal
from urllib.parse import unquote

from pydantic import BaseModel, Field, field_validator
from robyn import Request, Robyn
from robyn.robyn import QueryParams

from seen import RESERVED, free_port, seen


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


class Filters(QueryParams):
    name: str
    limit: int


app = Robyn(__file__)


@app.get("/items")
def list_items(query_params: Filters):
    # Robyn hands a query's values on as they are encoded.
    seen("list", name=unquote(query_params.get("name", "")), limit=int(query_params.get("limit", "20")))
    return []


@app.get("/items/:item_id")
def get_item(request: Request, item_id: int):
    seen("get", id=item_id)
    return {"id": item_id}


@app.post("/items")
def create_item(item: Item):
    seen("create", item=item)
    return {"id": 8}


@app.put("/items/:item_id")
def update_item(item_id: int, item: Item):
    seen("update", id=item_id, item=item)
    return {"id": item_id}


@app.delete("/items/:item_id")
def delete_item(item_id: int):
    seen("delete", id=item_id)
    return {}


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=free_port())
