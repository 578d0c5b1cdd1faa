"""Programs that run on the simulated hosts. They know nothing of Watchword."""
