"""Steering a running call: what a person, or the program itself, asks of it, and when and how it is done.

It must not know the loop: it is handed whose run it is, at a step boundary, and acts through public names.
"""
