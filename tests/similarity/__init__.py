"""The similarity program of config/algorithms, run in this process and as a program."""
