"""The control plane of Wombat as a library: the contract's rules over an application's own database."""

from .core import MissionControl
from .errors import ContractError
from .features.tools import ToolCall
from .scope import Agent, Person, Scope, Service
from .settings import Identity, Settings, any_user
from .storage import Storage, metadata
from .tokens import Claims, TokenVerifier

__all__ = [
    "Agent", "Claims", "ContractError", "Identity", "MissionControl", "Person", "Scope", "Service", "Settings",
    "Storage", "TokenVerifier", "ToolCall", "any_user", "metadata",
]

__version__ = "0.1.0"
