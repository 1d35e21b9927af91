"""Lit Studio."""
