from flask import Flask
from flask_smorest import Api, Blueprint
from flask_smorest.fields import Upload
from marshmallow import Schema, ValidationError, fields, validate, validates

from seen import RESERVED, seen, serve_wsgi


class Owner(Schema):
    name = fields.String(required=True)
    age = fields.Integer(allow_none=True)


class Item(Schema):
    name = fields.String(required=True, validate=validate.Length(1, 40))
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=0))
    price = fields.Float(required=True)
    due = fields.Date(required=True)
    status = fields.String(validate=validate.OneOf(["", "draft", "live"]))
    note = fields.String(allow_none=True)
    owner = fields.Nested(Owner, allow_none=True)
    tags = fields.List(fields.String())

    @validates("name")
    def not_reserved(self, name, data_key=None):
        if name == "house":
            raise ValidationError(RESERVED)


class Filters(Schema):
    name = fields.String(data_key="filter[name]")
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    tags = fields.List(fields.String())


class Photo(Schema):
    photo = Upload(required=True)


blueprint = Blueprint("items", __name__, url_prefix="/items")


@blueprint.get("/")
@blueprint.arguments(Filters, location="query")
@blueprint.response(200)
def list_items(filters):
    seen("list", **filters)
    return []


@blueprint.post("/")
@blueprint.arguments(Item)
@blueprint.response(201)
def create_item(item):
    seen("create", item=item)
    return {"id": 8}


@blueprint.get("/<int:item_id>")
@blueprint.response(200)
def get_item(item_id):
    seen("get", id=item_id)
    return {"id": item_id}


@blueprint.put("/<int:item_id>")
@blueprint.arguments(Item)
@blueprint.response(200)
def update_item(item, item_id):
    seen("update", id=item_id, item=item)
    return {"id": item_id}


@blueprint.delete("/<int:item_id>")
@blueprint.response(204)
def delete_item(item_id):
    seen("delete", id=item_id)


@blueprint.post("/<int:item_id>/photo")
@blueprint.arguments(Photo, location="files")
@blueprint.response(200)
def upload_photo(files, item_id):
    size = len(files["photo"].read())
    seen("upload", id=item_id, bytes=size)
    return {"bytes": size}


app = Flask(__name__)
app.config.update(API_TITLE="Shop", API_VERSION="v1", OPENAPI_VERSION="3.0.3", OPENAPI_URL_PREFIX="/")
Api(app).register_blueprint(blueprint)
serve_wsgi(app)
