"""A Python client of `belfry serve`: nothing but CPython's own SharedMemoryManager.

belfry serve --address /tmp/manager --authkey-file KEYFILE
manager_client.py ADDRESS KEYFILE               @name is a socket of Linux's abstract namespace
"""

import sys
from multiprocessing.managers import SharedMemoryManager

address, key_file = sys.argv[1:]
with open(key_file, "rb") as f:
    key = f.read().rstrip(b"\n")
if address.startswith("@"):
    address = "\0" + address[1:]
manager = SharedMemoryManager(address=address, authkey=key)
manager.connect()
block = manager.SharedMemory(128)
block.buf[:5] = b"howdy"
numbers = manager.ShareableList(range(4))
print("Python:", block.name, numbers)
block.close()
numbers.shm.close()
