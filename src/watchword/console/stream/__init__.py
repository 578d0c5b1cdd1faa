"""Sessions with Enforcers: authentication, units, policy out, acknowledgements and flows in."""
