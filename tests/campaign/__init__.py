"""Random faults done to whole grids: ``python -m tests.campaign --runs 200 --seed 1``."""
