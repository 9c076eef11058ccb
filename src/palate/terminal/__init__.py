"""How trainings, rankings and figures look in a terminal."""
