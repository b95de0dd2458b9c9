"""CPython's SharedMemoryManager, for clients in C++: see examples/manager_client.cpp.

manager_server.py ADDRESS KEY                   until its input ends
"""

import sys
from multiprocessing.managers import SharedMemoryManager

if __name__ == "__main__":
    with SharedMemoryManager(address=sys.argv[1], authkey=sys.argv[2].encode()) as manager:
        print("Python: a manager at", manager.address, flush=True)
        sys.stdin.read()
