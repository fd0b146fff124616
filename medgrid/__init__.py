"""medgrid: from a question about medical images to jobs, and results that know how they were made."""

__version__ = "0.1.0"
