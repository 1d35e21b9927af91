"""The ground floor: errors, events, runs, the registry and settings, on the standard library alone.

It must not know of torch, numpy, Jupyter or any room above it.
"""
