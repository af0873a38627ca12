"""Runs of many settings: what ``sweep.py`` and ``sweep_status.py`` are made of."""
