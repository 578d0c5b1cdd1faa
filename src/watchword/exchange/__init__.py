"""Policy from and to other forms: files, templates, the product family, Kubernetes, nftables. Pure."""
