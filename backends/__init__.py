"""The serving side: one replica's life, and the supervisor that keeps a fleet of them. Knows nothing of clients."""
