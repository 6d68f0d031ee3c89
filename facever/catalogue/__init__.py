"""The catalogue of public models: description, licence and address; finding and downloading
them.
"""

from facever.catalogue.finding import found_at, introduce, path_of
from facever.catalogue.listing import Entry, entries, entry, is_name

__all__ = ["Entry", "entries", "entry", "found_at", "introduce", "is_name", "path_of"]
