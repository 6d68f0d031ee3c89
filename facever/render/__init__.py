"""What a result looks like: its blocks, and the text, HTML, drawings and JSON made of them."""
