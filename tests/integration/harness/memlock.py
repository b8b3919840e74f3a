"""Too little lockable memory for the rings of two shards, enough for the one of the probe.

Kernels from 6.14 on charge rings to RLIMIT_MEMLOCK, unless the process has CAP_IPC_LOCK.
"""

import ctypes
import platform
import resource

from . import processes

CHARGED = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (6, 14)
_BYTES = 160 << 10  # a shard's ring of the default size takes 100 to 110 KiB
_PR_CAPBSET_DROP, _CAP_IPC_LOCK = 24, 14


def too_little_for_two_shards():
    """For preexec_fn."""
    processes.die_with_the_tests()
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (_BYTES, _BYTES))
    # Refused to whoever may not drop it, who has not got it either.
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_IPC_LOCK, 0, 0, 0)
