"""The store of people, images and their vectors; each folder below keeps it in one engine."""
