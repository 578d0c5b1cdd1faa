"""The nouns: resources, tags, expressions, ports, prefixes. Pure, and at the bottom of all imports."""
