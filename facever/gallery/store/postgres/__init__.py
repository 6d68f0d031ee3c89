"""The store in a PostgreSQL database: one schema for each gallery."""
