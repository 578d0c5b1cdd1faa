"""The Console: REST, store, trust root, policy streaming and flows, in one process."""
