"""A seccomp filter that refuses io_uring, as a container's default profile does."""

import ctypes
import errno
import struct

from . import processes

_IO_URING_SETUP = 425  # the same number on every architecture
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: ld [offset]; jeq; ret
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def forbid_io_uring():
    """For preexec_fn: io_uring_setup fails with EPERM from here on."""
    processes.die_with_the_tests()
    code = b"".join(struct.pack("=HBBI", *step) for step in (
        (_LOAD, 0, 0, 0),  # the system call's number
        (_EQUAL, 0, 1, _IO_URING_SETUP),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW)))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(4, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
            _PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")
