"""Random numbers, parameters, optimisers and backends for a population of models."""
