"""The Python behind the commands of scripts/, by the same names."""
