"""Write docs/openapi.json: python -m tools.openapi"""

from pathlib import Path

from facever.core.json_files import write_json
from facever.service.app import openapi_document

if __name__ == "__main__":
    write_json(Path(__file__).parent.parent / "docs" / "openapi.json", openapi_document())
