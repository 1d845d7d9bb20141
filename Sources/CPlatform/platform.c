#define _GNU_SOURCE
#include "CPlatform.h"

#include <immintrin.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void omp_set_num_threads(int);

void platform_set_openmp_threads(int count) { omp_set_num_threads(count); }

uint64_t platform_flush_denormals(void) {
  const uint64_t mode = _mm_getcsr();
  // Bit 15: flush to zero. Bit 6: denormals are zero.
  platform_set_float_mode(mode | 0x8040);
  return mode;
}

void platform_set_float_mode(uint64_t mode) { _mm_setcsr((unsigned)mode); }

int platform_available_cpus(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return (int)sysconf(_SC_NPROCESSORS_ONLN);
  return CPU_COUNT(&set);
}

void platform_get_affinity(uint8_t *mask, int size) {
  cpu_set_t set;
  CPU_ZERO(&set);
  memset(mask, 0, (size_t)size);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return;
  for (int cpu = 0; cpu < 8 * size && cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &set)) mask[cpu / 8] |= (uint8_t)(1 << cpu % 8);
}

void platform_set_affinity(const uint8_t *mask, int size) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu = 0; cpu < 8 * size && cpu < CPU_SETSIZE; cpu++)
    if (mask[cpu / 8] >> cpu % 8 & 1) CPU_SET(cpu, &set);
  // Refused where the machine forbids it: then the process keeps what it had.
  (void)sched_setaffinity(0, sizeof set, &set);
}

int platform_create_memory_file(const char *label) { return memfd_create(label, MFD_CLOEXEC); }

void platform_spin_hint(void) { _mm_pause(); }

int64_t platform_peak_memory(void) {
  long kibibytes = 0;
  FILE *file = fopen("/proc/self/status", "r");
  if (!file) return 0;
  char line[256];
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "VmHWM: %ld", &kibibytes) == 1) break;
  fclose(file);
  return (int64_t)kibibytes * 1024;
}

void platform_cpu_name(char *name, int capacity) {
  snprintf(name, (size_t)capacity, "unknown");
  FILE *file = fopen("/proc/cpuinfo", "r");
  if (!file) return;
  char line[512];
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, "model name", 10) != 0) continue;
    char *value = strchr(line, ':');
    if (!value) break;
    value += 1 + strspn(value + 1, " \t");
    value[strcspn(value, "\n")] = 0;
    snprintf(name, (size_t)capacity, "%s", value);
    break;
  }
  fclose(file);
}
