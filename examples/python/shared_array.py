"""The other side of examples/shared_array.cpp.

shared_array.py [NAME]
"""

import sys
from multiprocessing.shared_memory import SharedMemory

from belfry_watch import Watch, keep

try:
    import numpy
except ImportError:
    numpy = None

shm = SharedMemory(sys.argv[1] if len(sys.argv) > 1 else "shared-array")
keep(shm)
if numpy:
    c = numpy.ndarray((6,), dtype=numpy.int64, buffer=shm.buf)
else:
    c = shm.buf[:48].cast("q")
print("Python:", c.tolist())
with Watch(shm.name) as watch, watch.txn():
    c[-1] = 888
del c  # otherwise close() finds the memory in use
shm.close()
