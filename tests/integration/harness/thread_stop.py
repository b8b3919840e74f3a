"""Stops one thread of a process, which a signal cannot: SIGSTOP stops them all. By ptrace(2)."""

import ctypes
import os

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _ptrace(request, thread):
    if _libc.ptrace(ctypes.c_long(request), ctypes.c_long(thread), None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class StoppedThread:
    """The thread of `pid` that is called `name`, stopped from the start of the block to its end."""

    def __init__(self, pid, name):
        folder = f"/proc/{pid}/task"
        self.thread = next(int(each) for each in os.listdir(folder)
                           if open(f"{folder}/{each}/comm").read().strip() == name)

    def __enter__(self):
        _ptrace(_SEIZE, self.thread)
        _ptrace(_INTERRUPT, self.thread)
        os.waitpid(self.thread, _WALL)
        return self

    def __exit__(self, *_):
        try:
            _ptrace(_DETACH, self.thread)
        except ProcessLookupError:  # its process has ended
            os.waitpid(self.thread, _WALL)
