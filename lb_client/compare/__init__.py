"""The same load by every way to the same replicas, counted three ways, in one table."""
