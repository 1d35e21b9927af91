"""Use cases that join what the rooms below can do, shared by the command line and the notebook.

It must not know how its results are shown: cells, panels and terminals each draw them in their own way.
"""
