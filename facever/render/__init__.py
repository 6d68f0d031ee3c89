"""Presentation of results: blocks, and the text, HTML, drawings and JSON made from them."""
