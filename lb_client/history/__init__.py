"""A run over time: traffic in slices, and what happened meanwhile to the client and to the cluster, on one clock."""
