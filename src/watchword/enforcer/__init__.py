"""The Enforcer: the agent on each host, which fills the datapath and reports what it saw."""
