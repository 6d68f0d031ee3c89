"""`facever gallery info`: what a gallery is and holds."""

from facever.cli.gallery.shared import AsJson, Folder, print_info


def info(gallery: Folder, as_json: AsJson = False) -> None:
    """Say what a gallery is bound to and holds."""
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        print_info(opened, as_json)
