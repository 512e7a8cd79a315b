"""ROS 2 layer of tavid: nodes, message conversions, and the process that runs the model."""
