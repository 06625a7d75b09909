"""What `tools/bench` measures. A workload to compare with QEMU is an entry of `workloads.WORKLOADS`."""
