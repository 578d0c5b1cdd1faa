"""Kubernetes: NetworkPolicy to rulesets and back. Pure; manifests come as decoded YAML."""
