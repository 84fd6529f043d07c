"""The xDS bridge: snapshots as resources, subscriptions as values, one gRPC module."""
