"""Any folder of videos with masks: see `training.sources.video.folder` for its layout."""
