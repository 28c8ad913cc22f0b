"""Builders that tests share: settings, shapes, studies; and a naive model to compare with."""
