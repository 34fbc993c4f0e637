from apiflask import APIFlask, Schema
from apiflask.fields import Date, File, Float, Integer, List, Nested, String, URL
from apiflask.validators import Length, OneOf, Range
from marshmallow import ValidationError, validates

from seen import RESERVED, seen, serve_wsgi


class Owner(Schema):
    name = String(required=True)
    age = Integer(allow_none=True)


class Item(Schema):
    name = String(required=True, validate=Length(1, 40))
    quantity = Integer(required=True, strict=True, validate=Range(min=0))
    price = Float(required=True)
    due = Date(required=True)
    status = String(validate=OneOf(["", "draft", "live"]))
    note = String(allow_none=True)
    owner = Nested(Owner, allow_none=True)
    tags = List(String())

    @validates("name")
    def not_reserved(self, name, data_key=None):
        if name == "house":
            raise ValidationError(RESERVED)


class Filters(Schema):
    name = String(data_key="filter[name]")
    limit = Integer(load_default=20, validate=Range(1, 100))
    tags = List(String())


class Photo(Schema):
    photo = File(required=True)


app = APIFlask(__name__)


@app.get("/items")
@app.input(Filters, location="query")
def list_items(query_data):
    seen("list", **query_data)
    return []


@app.get("/items/<int:item_id>")
def get_item(item_id):
    seen("get", id=item_id)
    return {"id": item_id}


@app.post("/items")
@app.input(Item)
def create_item(json_data):
    seen("create", item=json_data)
    return {"id": 8}, 201


@app.put("/items/<int:item_id>")
@app.input(Item)
def update_item(item_id, json_data):
    seen("update", id=item_id, item=json_data)
    return {"id": item_id}


@app.delete("/items/<int:item_id>")
@app.output({}, status_code=204)
def delete_item(item_id):
    seen("delete", id=item_id)
    return ""


@app.post("/items/<int:item_id>/photo")
@app.input(Photo, location="files")
def upload_photo(item_id, files_data):
    size = len(files_data["photo"].read())
    seen("upload", id=item_id, bytes=size)
    return {"bytes": size}


serve_wsgi(app)
