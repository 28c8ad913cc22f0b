"""Other builds of the kernels: by another compiler, or for older processors."""

import os

from resformer.numerics.backends.kernels import sources

BUILDS = ("clang++", "AVX2")


def use(build: str) -> None:
    """Have this process, which has no kernels yet, compute with those of a build; "" is the one
    that a user gets.
    """
    if build == "clang++":
        os.environ["CXX"] = build
    if build == "AVX2":
        sources.FLAGS += ("-mno-avx512f",)
