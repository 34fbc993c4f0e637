from pathlib import Path

from connexion import AsyncApp
from connexion.exceptions import ProblemException

from seen import RESERVED, seen, serve_asgi


async def list_items(**asked):
    seen("list", name=asked.get("filter_name", asked.get("filter[name]")), limit=asked["limit"], tags=asked.get("tags"))
    return []


async def get_item(item_id):
    seen("get", id=item_id)
    return {"id": item_id}


async def create_item(body):
    if body["name"] == "house":
        raise ProblemException(status=400, title="Bad Request", detail=RESERVED)
    seen("create", item=body)
    return {"id": 8}, 201


async def update_item(item_id, body):
    seen("update", id=item_id, item=body)
    return {"id": item_id}


async def delete_item(item_id):
    seen("delete", id=item_id)
    return None, 204


async def upload_photo(item_id, photo):
    content = await photo.read()
    seen("upload", id=item_id, bytes=len(content))
    return {"bytes": len(content)}


app = AsyncApp(__name__, specification_dir=Path(__file__).parent)
app.add_api("connexion_app.yaml")
if __name__ == "__main__":
    serve_asgi(app)
