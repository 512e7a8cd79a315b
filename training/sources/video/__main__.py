"""Entry of `python -m training.sources.video`."""

import sys

from training.sources.video.command import main

if __name__ == "__main__":
    sys.exit(main())
