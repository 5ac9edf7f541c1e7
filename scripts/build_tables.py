#!/usr/bin/env python3
"""Runs `moescope build-tables` with the same flags."""
from moescope_launcher import launch

launch("build-tables")
