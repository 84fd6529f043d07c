"""Scenarios: a cluster, a load, what is done to it and when, and what is expected of the calls. Played by `lbdemo run`."""
