"""The other side of examples/shared_list.cpp.

shared_list.py [NAME]
"""

import sys
from multiprocessing.shared_memory import ShareableList

from belfry_watch import Watch, keep

b = ShareableList(name=sys.argv[1] if len(sys.argv) > 1 else "shared-list")
keep(b.shm)
print("Python:", list(b))
with Watch(b.shm.name) as watch, watch.txn():
    b[0] = "hello"
    b[-1] = 999
b.shm.close()
