"""`python -m diffusion_tutorial` is the command `diffusion-tutorial`."""

import sys

from diffusion_tutorial.cli import main

sys.exit(main())
