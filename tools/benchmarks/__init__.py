"""The measurements of `tools/bench`. To add a workload to compare with QEMU, add it to `workloads.WORKLOADS`."""
