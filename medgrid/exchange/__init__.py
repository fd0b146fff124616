"""Data in the formats of others."""
