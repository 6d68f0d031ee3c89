"""What every room stands on: files, texts, seeds, the console, processes."""
