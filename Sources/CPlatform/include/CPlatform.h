#pragma once
#include <stdint.h>

/// oneDNN's Debian build runs on OpenMP; every thread that creates or runs primitives asks for one OpenMP thread.
void platform_set_openmp_threads(int count);

/// Sets flush-to-zero and denormals-are-zero for the calling thread; returns the mode it had.
uint64_t platform_flush_denormals(void);

/// Gives the calling thread that mode of floating-point arithmetic.
void platform_set_float_mode(uint64_t mode);

/// The number of CPUs the calling thread may run on.
int platform_available_cpus(void);

/// The CPUs the calling thread may run on: CPU c is bit c % 8 of byte c / 8. All zero if nobody knows.
void platform_get_affinity(uint8_t *mask, int size);

/// Lets the calling thread, and those that it starts, run on these CPUs.
void platform_set_affinity(const uint8_t *mask, int size);

/// A file in memory, without a name in any file system, that programs the process starts do not inherit; -1 if there is
/// none to be had.
int platform_create_memory_file(const char *label);

/// A hint to the processor that the caller is spinning.
void platform_spin_hint(void);

/// The process's largest resident set so far, in bytes: VmHWM.
int64_t platform_peak_memory(void);

/// The processor's model name, as /proc/cpuinfo gives it.
void platform_cpu_name(char *name, int capacity);
