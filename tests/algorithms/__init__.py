"""Algorithms: descriptors, parameters, command lines, bundles, wheelhouses."""
