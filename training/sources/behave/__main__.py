"""Entry of `python -m training.sources.behave`."""

import sys

from training.sources.behave.command import main

if __name__ == "__main__":
    sys.exit(main())
