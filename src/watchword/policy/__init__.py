"""The one policy engine: world to documents, documents to tables, and why. Pure."""
