"""`python -m earlybird`."""

from earlybird.cli import main

main()
