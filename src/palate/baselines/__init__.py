"""Rankings to beat: popularity, recent popularity, item-kNN, EASE."""
