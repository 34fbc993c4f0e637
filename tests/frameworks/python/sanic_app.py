from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field, field_validator
from sanic import Sanic, json
from sanic_ext import openapi, validate

from seen import RESERVED, listening, seen


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


app = Sanic("shop")


@app.get("/items")
@openapi.parameter("filter[name]", str)
@openapi.parameter("limit", int)
@openapi.parameter("tags", list[str])
async def list_items(request):
    asked = request.args
    seen("list", name=asked.get("filter[name]"), limit=int(asked.get("limit", 20)), tags=asked.getlist("tags"))
    return json([])


@app.get("/items/<item_id:int>")
async def get_item(request, item_id: int):
    seen("get", id=item_id)
    return json({"id": item_id})


@app.post("/items")
@openapi.definition(body={"application/json": Item})
@validate(json=Item)
async def create_item(request, body: Item):
    seen("create", item=body)
    return json({"id": 8}, status=201)


@app.put("/items/<item_id:int>")
@openapi.body({"application/json": Item.model_json_schema()})
@validate(json=Item)
async def update_item(request, item_id: int, body: Item):
    seen("update", id=item_id, item=body)
    return json({"id": item_id})


@app.delete("/items/<item_id:int>")
async def delete_item(request, item_id: int):
    seen("delete", id=item_id)
    return json(None, status=204)


@app.post("/items/<item_id:int>/photo")
@openapi.body({"multipart/form-data": {"type": "object", "properties": {"photo": {"type": "string", "format": "binary"}}}})
async def upload_photo(request, item_id: int):
    size = len(request.files.get("photo").body)
    seen("upload", id=item_id, bytes=size)
    return json({"bytes": size})


if __name__ == "__main__":
    app.run(sock=listening(), single_process=True, access_log=False, motd=False)
