"""What Alembic runs: on the connection that `upgrade` gives it, or on the address of `DATABASE_URL`."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine

from wombat_mission_control.migrations import VERSION_TABLE
from wombat_mission_control.storage.tables import metadata


def run(connection: Connection) -> None:
    """Makes the migrations."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=lambda name, kind, _parents: kind != "table" or (name or "").startswith("wombat_"),
        render_as_batch=connection.dialect.name == "sqlite",
        user_module_prefix="types.",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(os.environ["DATABASE_URL"]).begin() as made:
        run(made)
