"""Entry of `python -m training.sources.lerobot`."""

import sys

from training.sources.lerobot.command import main

if __name__ == "__main__":
    sys.exit(main())
