"""Views of a report: terminal, Markdown, CSV, LaTeX, JSON, HTML page."""
