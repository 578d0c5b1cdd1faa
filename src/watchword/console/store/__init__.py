"""What the Console remembers, in SQL. Nothing here knows of HTTP."""
