"""The command ``watchword``: one module per command or group of commands, named after it.

Modules import only Typer and the standard library when loaded; what a command needs beyond that (HTTP,
tables, YAML, the Console, the Enforcer) it imports when it runs, so that every command starts quickly.
"""
