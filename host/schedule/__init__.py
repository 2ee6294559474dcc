"""Declared op times and the admission of task sets, with the remedy when a set does not pass."""
