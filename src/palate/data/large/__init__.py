"""Logs larger than memory: checked, repaired and sorted in bounded memory, then read part by part."""
