"""How what the stores ask of a database grows with what it holds: counted, never timed."""
