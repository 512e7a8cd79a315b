"""Target-aware video diffusion as an action planner: the ROS-free core."""
