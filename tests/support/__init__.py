"""Builders that tests share: settings, shapes, studies; and a naive model to compare with."""

import pytest

pytest.register_assert_rewrite("support.engines", "support.foreign", "support.naive_model")
