"""Searches: an Optuna study that the harness owns, whose trials are cells of the store."""
