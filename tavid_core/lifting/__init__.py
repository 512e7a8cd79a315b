"""Lift an imagined video to a 3D motion: keypoints, target track, contact, metres."""
