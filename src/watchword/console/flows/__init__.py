"""Flow reports: resolved to names as they arrive, stored apart from everything else, queried."""
