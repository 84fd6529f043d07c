"""Registries: where replicas announce themselves. Each is a factory of endpoint watchers, chosen by scheme."""
