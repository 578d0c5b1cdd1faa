"""The contract between Console and Enforcer: policy documents and messages. Pure."""
