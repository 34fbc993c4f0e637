"""A small FastAPI application with Wombat beside it."""
