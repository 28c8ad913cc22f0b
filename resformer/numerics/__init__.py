"""Random numbers, parameters and AdamW of a population, on a backend; the settings of torch in this
process.
"""
