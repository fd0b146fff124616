"""The steps from each schema of the key store to the next; see CONTRIBUTING.md."""
