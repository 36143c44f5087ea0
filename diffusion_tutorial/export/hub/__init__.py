"""What is copied into a folder for diffusers: the pipeline as it is, the networks with the models' sources above them.

Used in "Meet the professionals". These files import diffusers, so only export.folder loads them; the copies need nothing of
this package, and so the pipeline may import nothing of it.
"""
