"""Metrics of tables of recommendations: intervals, slices, comparisons, one result with its protocol."""
