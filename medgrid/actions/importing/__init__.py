"""Images come into the grid: read, drafted, written, converted; what happens is told."""
