"""Rooms joined, callable from Python."""
