"""Migrations of the contract's tables, by Alembic.

`upgrade(engine)` brings a database up to date. An application with its own Alembic does so, too, or adds
`wombat_mission_control.metadata` to its `target_metadata` and makes the migrations itself.
"""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Engine

#: The table that tells which migrations were made; an application's own has another name.
VERSION_TABLE = "wombat_alembic_version"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Makes the migrations that are missing, in one transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files(__name__)).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
