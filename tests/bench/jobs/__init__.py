"""Whole processes: each module is a script that a user might have written."""
