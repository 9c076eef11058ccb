"""From scores to answers: candidates, the one masked top-k, tables of recommendations."""
