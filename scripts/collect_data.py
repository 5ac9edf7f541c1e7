#!/usr/bin/env python3
"""Runs `moescope collect-data` with the same flags."""
from moescope_launcher import launch

launch("collect-data")
