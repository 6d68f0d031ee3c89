"""Parametric faces: identities that nobody has, in shots that vary as photographs do."""
