"""Datasets: pictures in [-1, 1] with a label each."""
