"""Searches inside other people's training loops."""
