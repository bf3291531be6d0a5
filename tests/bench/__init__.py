"""Figures against the tools that people use now: ``make bench``."""
