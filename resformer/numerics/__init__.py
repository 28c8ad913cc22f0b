"""Random numbers, parameters, AdamW and backends for a population of models."""
