"""Partitioned directories from Python: safetensors files, columns of images and labels, and the
directory with its manifest. Scripts/to_partitions.py and the package `convoy_spark` are made of it.
"""
