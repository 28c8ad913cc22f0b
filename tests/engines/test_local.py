"""The local engine keeps to what every engine does."""

import pytest
from support.engines import Contract

pytestmark = pytest.mark.sweep


class TestLocal(Contract):
    pass
