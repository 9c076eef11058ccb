"""The whole path on the simulated service."""
