"""Faces: found in photos, judged and aligned; a photo becomes crops."""
