#!/usr/bin/env python3
"""Runs `moescope init-run` with the same flags."""
from moescope_launcher import launch

launch("init-run")
