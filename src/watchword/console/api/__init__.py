"""The Console's HTTP endpoints. Routes of resources derive from their declaration."""
