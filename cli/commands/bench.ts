// millrace bench WORKLOAD: the workloads of docs/benchmarks.md against any broker.
import { Command } from 'commander';
