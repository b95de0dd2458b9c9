"""The other side of examples/shared_bytes.cpp.

shared_bytes.py [NAME]
"""

import array
import sys
from multiprocessing.shared_memory import SharedMemory

from belfry_watch import Watch, keep

b = SharedMemory(sys.argv[1] if len(sys.argv) > 1 else "shared-bytes")
keep(b)  # the C++ program owns and unlinks it
print("Python:", array.array("b", b.buf[:5]))  # copies
b.buf[:5] = b"howdy"
with Watch(b.name) as watch:
    watch.notify()
b.close()
