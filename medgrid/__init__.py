"""medgrid: from a question about medical images to jobs, and results that know their making."""

__version__ = "0.1.0"
