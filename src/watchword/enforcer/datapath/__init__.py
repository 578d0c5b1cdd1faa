"""Kernel datapaths, each behind the contract in base.py."""
