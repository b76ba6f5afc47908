"""The public contracts, written by hand and versioned, and the derived internal ones."""
