"""Sources of clips: one module or package per source, all writing the format of training.clips."""
