"""BEHAVE: people and 20 objects before four Kinects, in each of its three published forms."""
