"""Results → table, figures, JSON. No torch and no Hydra in here."""
