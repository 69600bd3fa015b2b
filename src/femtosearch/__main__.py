"""`python -m femtosearch`: the command line where no script is installed."""

import sys

from femtosearch.cli import main

if __name__ == "__main__":
    sys.exit(main())
