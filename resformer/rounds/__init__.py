"""Rounds of a study: launches that the results of those before call for."""
