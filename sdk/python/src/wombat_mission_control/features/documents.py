"""Documents."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import not_found
from ..jsonio import Object, new_id, stamp, without_none
from ..paging import page, paging
from ..storage.engine import Tx
from ..storage.tables import documents
from .tasks import ensure_task

routes = Routes("documents_list")

_LISTED = [column for column in documents.c if column.name != "content"]


def document(row: Any) -> Object:
    """A document as it is answered, with its text where that was read."""
    return without_none(
        id=row.id,
        title=row.title,
        content=row._mapping.get("content"),
        doc_type=row.doc_type,
        task_id=row.task_id,
        created_at=stamp(row.created_at),
    )


def insert_document(tx: Tx, user_id: str, title: str, content: str, doc_type: str | None, task_id: str | None) -> Object:
    """Creates a document."""
    if task_id is not None:
        ensure_task(tx.conn, user_id, task_id)
    row = tx.conn.execute(
        insert(documents)
        .values(
            id=new_id(),
            user_id=user_id,
            task_id=task_id,
            title=title,
            content=content,
            doc_type=doc_type,
            created_at=tx.at,
        )
        .returning(*_LISTED)
    ).one()
    made = document(row)
    tx.emit(user_id, "document.created", "document_id", made)
    return made


@routes.add("POST", "/documents")
def create_document(call: Call) -> Response:
    """Creates a document."""
    scope, fields = call.write_scope(), call.fields
    title, content = fields.text("title"), fields.text("content")
    doc_type, task_id = fields.opt_text("doc_type"), fields.opt_text("task_id")
    key = fields.filled("idempotency_key")

    def make(tx: Tx) -> Object:
        return insert_document(tx, scope.user_id, title, content, doc_type, task_id)

    return call.create(scope, "documents", key, make)


@routes.add("GET", "/documents")
def list_documents(call: Call) -> Response:
    """The user's documents without their text, newest first."""
    scope, (limit, before) = call.read_scope(), paging(call.query)
    t = documents.c
    query = select(*_LISTED).where(t.user_id == scope.user_id)
    for name in ("task_id", "doc_type"):
        value = call.query.text(name)
        if value is not None:
            query = query.where(t[name] == value)
    if before is not None:
        query = query.where(t.seq < before)
    with call.mc.storage.read() as conn:
        return json_response(page(conn.execute(query.order_by(t.seq.desc()).limit(limit + 1)), limit, document))


@routes.add("GET", "/documents/{id}")
def get_document(call: Call) -> Response:
    """One document with its text."""
    scope, t = call.read_scope(), documents.c
    with call.mc.storage.read() as conn:
        row = conn.execute(select(documents).where(t.id == call.params["id"], t.user_id == scope.user_id)).first()
    if row is None:
        raise not_found("document")
    return json_response(document(row))
