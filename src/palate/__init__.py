"""Palate: a foundation model for personalised recommendation."""
