"""Seeing what a board does: live view, status, tables, the HTML report."""
