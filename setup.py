"""Let older tools (colcon, editable installs) find the package; pyproject.toml says everything."""

from setuptools import setup

setup()
