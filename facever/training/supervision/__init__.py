"""What heads learn from beside labels: teachers, attributes, thumbnails."""
