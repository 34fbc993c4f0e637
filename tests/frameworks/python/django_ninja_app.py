import django
from django.conf import settings

settings.configure(SECRET_KEY="for a test", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, INSTALLED_APPS=["ninja"])
django.setup()

from datetime import date, datetime
from typing import Literal

from django.urls import path
from ninja import Field, File, NinjaAPI, Query, Schema
from ninja.files import UploadedFile
from pydantic import field_validator

from seen import RESERVED, seen, serve_wsgi


class Owner(Schema):
    name: str
    age: int | None = None


class Item(Schema):
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


class Filters(Schema):
    name: str | None = Field(None, alias="filter[name]")
    limit: int = Field(20, ge=1, le=100)
    tags: list[str] = []


api = NinjaAPI()


@api.get("/items")
def list_items(request, filters: Query[Filters]):
    seen("list", name=filters.name, limit=filters.limit, tags=filters.tags)
    return []


@api.get("/items/{item_id}")
def get_item(request, item_id: int):
    seen("get", id=item_id)
    return {"id": item_id}


@api.post("/items")
def create_item(request, item: Item):
    seen("create", item=item)
    return {"id": 8}


@api.put("/items/{item_id}")
def update_item(request, item_id: int, item: Item):
    seen("update", id=item_id, item=item)
    return {"id": item_id}


@api.delete("/items/{item_id}", response={204: None})
def delete_item(request, item_id: int):
    seen("delete", id=item_id)
    return 204, None


@api.post("/items/{item_id}/photo")
def upload_photo(request, item_id: int, photo: File[UploadedFile]):
    seen("upload", id=item_id, bytes=photo.size)
    return {"bytes": photo.size}


urlpatterns = [path("api/", api.urls)]

from django.core.wsgi import get_wsgi_application

serve_wsgi(get_wsgi_application())
