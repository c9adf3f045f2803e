"""Windows job objects: all processes of a job end when its last handle is closed, as it is when this process ends."""

from __future__ import annotations

import ctypes
from typing import Any

_KILL_ON_CLOSE, _PROCESS_TIME, _PROCESS_MEMORY, _DIE_ON_ERROR = 0x2000, 0x2, 0x100, 0x400
_EXTENDED_LIMITS = 9
_SET_QUOTA_AND_TERMINATE = 0x0101
_TICKS = 10_000_000  # one second, in units of 100 ns


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("per_process_user_time", ctypes.c_int64),
        ("per_job_user_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class Job:
    """One job object. limits: the fields of `Limits`, by name."""

    def __init__(self, limits: dict[str, int], api: Any = None) -> None:
        """Raises OSError if the system does not create a job object."""
        self._api = api or _kernel32()
        self._handle = self._api.CreateJobObjectW(None, None)
        if not self._handle:
            raise OSError("the system gives no job object")
        wanted = _ExtendedLimits()
        wanted.basic.flags = _KILL_ON_CLOSE | _DIE_ON_ERROR
        if limits.get("cpu_seconds"):
            wanted.basic.flags |= _PROCESS_TIME
            wanted.basic.per_process_user_time = limits["cpu_seconds"] * _TICKS
        if memory := limits.get("memory_bytes") or limits.get("data_bytes"):
            wanted.basic.flags |= _PROCESS_MEMORY
            wanted.process_memory = memory
        size = ctypes.sizeof(wanted)
        if not self._api.SetInformationJobObject(self._handle, _EXTENDED_LIMITS, ctypes.byref(wanted), size):
            self.close()
            raise OSError("the system does not take the limits of a job object")

    def add(self, pid: int) -> None:
        """Adds a process, and all that it starts from now on, to the job."""
        process = self._api.OpenProcess(_SET_QUOTA_AND_TERMINATE, False, pid)
        if process:  # else it has ended already
            self._api.AssignProcessToJobObject(self._handle, process)
            self._api.CloseHandle(process)

    def close(self) -> None:
        """Ends all processes of the job."""
        handle, self._handle = self._handle, None
        if handle:
            self._api.CloseHandle(handle)


def _kernel32() -> Any:
    api: Any = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009 - it is on Windows only
    handle, number = ctypes.c_void_p, ctypes.c_uint32
    for name, result, arguments in (
        ("CreateJobObjectW", handle, (handle, ctypes.c_wchar_p)),
        ("SetInformationJobObject", ctypes.c_int, (handle, ctypes.c_int, handle, number)),
        ("OpenProcess", handle, (number, ctypes.c_int, number)),
        ("AssignProcessToJobObject", ctypes.c_int, (handle, handle)),
        ("CloseHandle", ctypes.c_int, (handle,)),
    ):
        function = getattr(api, name)
        function.restype, function.argtypes = result, list(arguments)
    return api
