"""Results as tables: a row per member, a row per step; exports."""
