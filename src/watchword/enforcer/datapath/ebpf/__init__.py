"""The eBPF datapath: see docs/datapath.md and bpf/."""
