"""Report: cells, depth limits and comparisons, and the views that show them."""
