"""Faults at random for minutes, while calls run: nothing may leak, every call must be accounted for: `make soak`."""
