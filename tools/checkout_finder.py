"""Finds minstret's packages in the checkout, as the finder of setuptools' editable installs does.

That one imports pathlib and more at each start of Python, which takes as long as the start itself. So tools/setup.sh
puts this in its place, with its mapping of packages to folders.
"""

import sys
from _frozen_importlib_external import PathFinder, spec_from_file_location

MAPPING: dict[str, str] = {}


class CheckoutFinder:
    """A finder on sys.meta_path."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in MAPPING:
            folder = MAPPING[name]
            return spec_from_file_location(name, f"{folder}/__init__.py", submodule_search_locations=[folder])
        parent = name.rpartition(".")[0]  # Python may have taken another folder of that name for the package
        return PathFinder.find_spec(name, [MAPPING[parent]]) if parent in MAPPING else None


def install():
    if CheckoutFinder not in sys.meta_path:
        sys.meta_path.append(CheckoutFinder)
