"""Scenarios: a cluster, calls, what is done to it and when, and what is expected. Played by `lbdemo run`."""
