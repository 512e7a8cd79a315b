"""How quickly the planner node answers while a plan runs."""
