"""The demonstration: a small shop on simulated hosts, an intruder, and Watchword between them.

Uses Watchword only as a user would: by its command line and its REST API. Every claim is checked from
outside. ``python -m demo`` shows it to a person, ``python -m demo --check`` asserts it.
"""
