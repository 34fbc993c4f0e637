"""Transactional storage over SQLAlchemy 2."""

from .engine import Storage, Tx
from .tables import metadata

__all__ = ["Storage", "Tx", "metadata"]
