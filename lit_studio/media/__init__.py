"""Pictures, histograms, matrices, tables and texts of a run: from a user's value to a file in its directory.

It must not know torch, loggers or screens: whatever numpy can read is an array, and a file is looked at by others.
"""
