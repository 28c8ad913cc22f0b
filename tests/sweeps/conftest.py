"""The shape of small sweeps."""

import pytest
from support import shapes

from resformer.model.shape import Shape


@pytest.fixture
def shape() -> Shape:
    return shapes.tiny()
