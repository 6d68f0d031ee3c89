"""A client of the service: the calls of `Recognizer`, answered elsewhere."""

from facever.client.client import Client

__all__ = ["Client"]
