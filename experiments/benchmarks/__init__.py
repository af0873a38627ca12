"""Speed, compile time and memory: what ``bench.py`` times, tables and draws."""
