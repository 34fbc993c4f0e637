from flask import Flask
from flask_restx import Api, Resource, fields, reqparse
from werkzeug.datastructures import FileStorage

from seen import RESERVED, seen, serve_wsgi

app = Flask(__name__)
api = Api(app, validate=True)

owner = api.model("Owner", {"name": fields.String(required=True), "age": fields.Integer})
item = api.model("Item", {
    "name": fields.String(required=True, min_length=1, max_length=40),
    "quantity": fields.Integer(required=True, min=0),
    "price": fields.Float(required=True),
    "due": fields.Date(required=True),
    "status": fields.String(enum=["", "draft", "live"]),
    "owner": fields.Nested(owner),
    "tags": fields.List(fields.String),
})

filters = reqparse.RequestParser()
filters.add_argument("filter[name]", dest="name", location="args")
filters.add_argument("limit", type=int, default=20, location="args")
filters.add_argument("tags", action="append", location="args")

photo = reqparse.RequestParser()
photo.add_argument("photo", type=FileStorage, location="files", required=True)


@api.route("/items")
class Items(Resource):
    @api.expect(filters)
    def get(self):
        seen("list", **filters.parse_args())
        return []

    @api.expect(item)
    def post(self):
        if api.payload["name"] == "house":
            api.abort(400, "Input payload validation failed", errors={"name": RESERVED})
        seen("create", item=api.payload)
        return {"id": 8}, 201


@api.route("/items/<int:item_id>")
class OneItem(Resource):
    def get(self, item_id):
        seen("get", id=item_id)
        return {"id": item_id}

    @api.expect(item)
    def put(self, item_id):
        seen("update", id=item_id, item=api.payload)
        return {"id": item_id}

    def delete(self, item_id):
        seen("delete", id=item_id)
        return "", 204


@api.route("/items/<int:item_id>/photo")
class Photo(Resource):
    @api.expect(photo)
    def post(self, item_id):
        size = len(photo.parse_args()["photo"].read())
        seen("upload", id=item_id, bytes=size)
        return {"bytes": size}


serve_wsgi(app)
