"""Attacks on data planes, on real Flux: what is refused, and by whom."""
