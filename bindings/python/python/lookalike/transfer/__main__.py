"""The command ``python -m lookalike.transfer``."""

import sys

from lookalike.transfer._command import main

sys.exit(main())
