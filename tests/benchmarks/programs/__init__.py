"""What the benchmarks run in processes of their own: the bare scripts to compare with, and workers told what to do."""
