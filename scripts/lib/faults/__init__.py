"""Faults put into a scripted session, one at a time, and what must hold after each."""
