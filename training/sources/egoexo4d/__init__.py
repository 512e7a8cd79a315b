"""Ego-Exo4D: skilled people before four or five GoPros, with masks and descriptions."""
