"""Recorded rosbag2 bags as a source of clips; no ROS needed.

Bags come from elsewhere, so nothing in them is trusted: sizes are checked before they are used, a
process with limits does the reading, and what could not be read is counted.
"""
