"""``python -m evcli``."""

from evcli.cli.main import main

main()
