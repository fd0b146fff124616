"""The defacing program of config/algorithms: heads whose face is known, and what is no head."""
