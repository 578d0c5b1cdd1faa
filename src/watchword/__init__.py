"""Watchword: identity-based microsegmentation."""
