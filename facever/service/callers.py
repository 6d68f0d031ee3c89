"""Callers of the service: who they are, and what their role permits."""

from typing import Literal, NamedTuple, get_args

Role = Literal["search", "enrol", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Roles; each one includes those before it."""


class Caller(NamedTuple):
    """Who asks.

    Args:
        name: Name of the token, or the address of a caller without one.
        role: What is permitted.
    """

    name: str
    role: Role


LOCAL = Caller("local", "admin")
"""The caller of a service without tokens, which only this machine reaches."""


def includes(role: Role, needed: Role) -> bool:
    """Return whether a role permits what another one permits."""
    return ROLES.index(role) >= ROLES.index(needed)
