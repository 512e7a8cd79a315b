"""LeRobot data sets of format 3: episodes of robots, in parquet tables and shared videos."""
