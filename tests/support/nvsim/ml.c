/* libnvidia-ml.so.1: the part of the driver's management library that nvidia-ml-py calls. */
#include "simulation.h"

enum {
    SUCCESS = 0,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15
};

#define SLICE_SHIFT 16

/* A handle is the GPU's index plus one, since null means none; a MIG slice's has its number plus
 * one above that. */
static unsigned gpu_of(void *device) {
    return ((unsigned)(uintptr_t)device & ((1 << SLICE_SHIFT) - 1)) - 1;
}

static int slice_of(void *device) {
    return (int)((uintptr_t)device >> SLICE_SHIFT) - 1;
}

static int present(void) {
    return number("gpus", 1) > 0 && !number("nvml_lost", 0);
}

EXPORT int nvmlInit_v2(void) {
    return present() ? SUCCESS : DRIVER_NOT_LOADED;
}

EXPORT int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return nvmlInit_v2();
}

EXPORT int nvmlShutdown(void) {
    return SUCCESS;
}

EXPORT const char *nvmlErrorString(int error) {
    return error == DRIVER_NOT_LOADED ? "Driver Not Loaded"
           : error == GPU_IS_LOST     ? "GPU is lost"
                                      : "simulated error";
}

EXPORT int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    char value[TEXT];
    snprintf(version, length, "%s", setting("driver", "590.44.01", value));
    return present() ? SUCCESS : DRIVER_NOT_LOADED;
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = number("gpus", 1);
    return present() ? SUCCESS : DRIVER_NOT_LOADED;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index >= (unsigned)number("gpus", 1))
        return INVALID_ARGUMENT;
    if (number_of(index, "lost", 0))
        return GPU_IS_LOST;
    *device = (void *)(uintptr_t)(index + 1);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetName(void *device, char *name, unsigned length) {
    char value[TEXT];
    snprintf(name, length, "%s", setting_of(gpu_of(device), "name", "NVIDIA GeForce", value));
    return SUCCESS;
}

EXPORT int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length) {
    if (slice_of(device) >= 0)
        snprintf(uuid, length, "MIG-00000000-0000-0000-%04d-%012u", slice_of(device), gpu_of(device));
    else
        uuid_of(gpu_of(device), uuid, length);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetBrand(void *device, unsigned *brand) {
    *brand = number_of(gpu_of(device), "brand", 5);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetEncoderCapacity(void *device, int codec, unsigned *percent) {
    (void)device, (void)codec;
    *percent = 100;
    return SUCCESS;
}

static unsigned open_on(void *device, struct session *found) {
    int lock = enter();
    unsigned count = sessions_on(gpu_of(device), found);
    close(lock);
    return count;
}

EXPORT int nvmlDeviceGetEncoderStats(void *device, unsigned *count, unsigned *fps, unsigned *us) {
    struct session found[MAX_SESSIONS];
    *count = open_on(device, found);
    *fps = *count ? found[0].fps : 0;
    *us = 0;
    return SUCCESS;
}

/* nvmlEncoderSessionInfo_t: eight 32-bit words. */
struct record {
    unsigned id, pid, vgpu, codec, width, height, fps, latency;
};

EXPORT int nvmlDeviceGetEncoderSessions(void *device, unsigned *count, struct record *records) {
    struct session found[MAX_SESSIONS];
    unsigned open = number("listed", 1) ? open_on(device, found) : 0, room = *count;
    *count = open;
    if (room == 0)
        return SUCCESS;
    if (room < open)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < open; i++)
        records[i] = (struct record){
            .id = found[i].number,
            /* The real library reports host pids, which are unknown inside a container. */
            .pid = found[i].pid + number("host_pids", 0),
            .width = found[i].width,
            .height = found[i].height,
            .fps = found[i].fps,
        };
    return SUCCESS;
}

EXPORT int nvmlDeviceGetEncoderUtilization(void *device, unsigned *percent, unsigned *period_us) {
    struct session found[MAX_SESSIONS];
    *percent = open_on(device, found) ? 10 : 0;
    *period_us = 167000;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetUtilizationRates(void *device, unsigned *gpu_and_memory) {
    gpu_and_memory[0] = open_on(device, (struct session[MAX_SESSIONS]){0}) ? 10 : 0;
    gpu_and_memory[1] = 0;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *total_free_used) {
    unsigned long long free = number_of(gpu_of(device), "memory_free", ROOMY_MB);
    total_free_used[0] = (unsigned long long)ROOMY_MB << 20;
    total_free_used[1] = free << 20;
    total_free_used[2] = total_free_used[0] - total_free_used[1];
    return SUCCESS;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, void *records) {
    (void)device, (void)records;
    *count = 0;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, void *records) {
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, records);
}

EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    *current = *pending = number_of(gpu_of(device), "mig", 0) > 0;
    return *current ? SUCCESS : NOT_SUPPORTED;
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) {
    (void)device;
    *count = 7;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **slice) {
    if (index >= (unsigned)number_of(gpu_of(device), "mig", 0))
        return NOT_FOUND;
    *slice = (void *)((uintptr_t)device | (uintptr_t)(index + 1) << SLICE_SHIFT);
    return SUCCESS;
}
