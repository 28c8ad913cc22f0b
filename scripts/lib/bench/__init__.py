"""A comparison of resformer with its peers and with the hardware's limit."""
