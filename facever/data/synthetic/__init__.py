"""Parametric synthetic faces, in shots that vary like photographs."""
