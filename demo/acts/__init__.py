"""The acts, in order. Each shows something and claims what can be checked from outside."""
