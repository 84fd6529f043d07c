"""The calling side: channels whose endpoints stay live, a driver that issues calls, and reports of how they spread."""
