#!/usr/bin/env python3
"""Runs `moescope build-plots` with the same flags."""
from moescope_launcher import launch

launch("build-plots")
