"""The driver: plans grids into cells, runs the missing ones, and keeps what came out."""
