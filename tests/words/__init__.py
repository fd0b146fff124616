"""The vocabulary of descriptions: how its terms are made, and what of real texts passes it."""
