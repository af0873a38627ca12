"""Pages of HTML on finished runs, which ``report.py`` writes."""
