"""The REST service: a model and a gallery that other programs reach over HTTP.

Needs the extra `serve`. Start it with `facever serve`; docs/service.md describes every route.
"""
