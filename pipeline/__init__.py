"""What runs, in which order, and what is left: pure, standard library only."""
