"""Numeric kernels that training and runtime share: mel, lip polygons, face crop and warp.

One folder per op: ``reference.py`` is slow and obvious and defines what is right, ``numba_<op>.py`` is the fast twin,
``__init__.py`` holds the public call and checks its arguments. Importing needs numpy and numba only.
"""
