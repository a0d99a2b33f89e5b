/* libcuda.so.1: the part of CUDA's driver API that NVENC needs in FFmpeg and GStreamer 1.22.
 *
 * Device memory is host memory, so its pointers can be dereferenced. Copies between the two kinds
 * are logged all the same, as `uploaded` or `downloaded` events with the number of bytes.
 */
#include "simulation.h"

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, NOT_SUPPORTED = 801 };

enum { MAX_GPUS = 16 };

/* The GPUs this process sees, in CUDA's order. */
static int shown[MAX_GPUS], shown_count = -1;

static int gpu_named(const char *name, const int *order, int count) {
    char uuid[TEXT];
    if (name[0] >= '0' && name[0] <= '9')
        return atoi(name) < count ? order[atoi(name)] : -1;
    for (int gpu = 0; gpu < count; gpu++) {
        uuid_of(gpu, uuid, sizeof uuid);
        if (*name && !strcmp(uuid, name))
            return gpu;
    }
    return -1;
}

/* CUDA_VISIBLE_DEVICES counts the fastest card (setting `fastest`) first, unless CUDA_DEVICE_ORDER
 * selects NVML's order; devices after an invalid name are hidden too. */
static void find_devices(void) {
    int order[MAX_GPUS], count = number("gpus", 1), fastest = number("fastest", 0);
    const char *by = getenv("CUDA_DEVICE_ORDER"), *variable = getenv("CUDA_VISIBLE_DEVICES");
    if (by && !strcmp(by, "PCI_BUS_ID"))
        fastest = 0;
    order[0] = fastest;
    for (int gpu = 0, next = 1; gpu < count; gpu++)
        if (gpu != fastest)
            order[next++] = gpu;
    shown_count = 0;
    if (!variable) {
        memcpy(shown, order, sizeof shown);
        shown_count = count;
        return;
    }
    char names[TEXT], *rest = names, *name;
    snprintf(names, sizeof names, "%s", variable);
    while ((name = strsep(&rest, ",")) && shown_count < MAX_GPUS) {
        int gpu = gpu_named(name, order, count);
        if (gpu < 0)
            break;
        shown[shown_count++] = gpu;
    }
}

EXPORT int cuInit(unsigned flags) {
    (void)flags;
    if (shown_count < 0)
        find_devices();
    return shown_count ? SUCCESS : NO_DEVICE;
}

EXPORT int cuDeviceGetCount(int *count) {
    *count = shown_count;
    return SUCCESS;
}

EXPORT int cuDeviceGet(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= shown_count)
        return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

EXPORT int cuDeviceGetName(char *name, int length, int device) {
    char value[TEXT];
    snprintf(name, length, "%s", setting_of(shown[device], "name", "NVIDIA GeForce", value));
    return SUCCESS;
}

/* The sixteen bytes that `uuid_of` prints. */
EXPORT int cuDeviceGetUuid(unsigned char *bytes, int device) {
    char text[TEXT];
    int digits = 0;
    uuid_of(shown[device], text, sizeof text);
    memset(bytes, 0, 16);
    for (char *digit = text + strlen("GPU-"); *digit; digit++)
        if (*digit != '-') {
            bytes[digits / 2] = bytes[digits / 2] << 4 | (*digit - '0');
            digits++;
        }
    return SUCCESS;
}

EXPORT int cuDeviceComputeCapability(int *major, int *minor, int device) {
    (void)device;
    *major = 8;
    *minor = 9;
    return SUCCESS;
}

static __thread struct context *current[16];
static __thread unsigned depth;

EXPORT int cuCtxPushCurrent_v2(struct context *context) {
    if (depth == sizeof current / sizeof *current)
        return OUT_OF_MEMORY;
    current[depth++] = context;
    return SUCCESS;
}

/* A new context becomes current in the calling thread. */
EXPORT int cuCtxCreate_v2(struct context **context, unsigned flags, int device) {
    (void)flags;
    *context = malloc(sizeof **context);
    (*context)->gpu = shown[device];
    return cuCtxPushCurrent_v2(*context);
}

EXPORT int cuCtxDestroy_v2(struct context *context) {
    if (depth && current[depth - 1] == context)
        depth--;
    free(context);
    return SUCCESS;
}

EXPORT int cuCtxPopCurrent_v2(struct context **context) {
    struct context *popped = depth ? current[--depth] : NULL;
    if (context)
        *context = popped;
    return popped ? SUCCESS : INVALID_VALUE;
}

EXPORT int cuCtxGetCurrent(struct context **context) {
    *context = depth ? current[depth - 1] : NULL;
    return SUCCESS;
}

/* The context shared by all libraries in a process, including PyTorch. */
EXPORT int cuDevicePrimaryCtxRetain(struct context **context, int device) {
    static struct context primary[MAX_GPUS];
    if (device < 0 || device >= shown_count)
        return INVALID_DEVICE;
    primary[device].gpu = shown[device];
    *context = &primary[device];
    return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRelease(int device) {
    (void)device;
    return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    (void)device;
    *flags = 0;
    *active = 1;
    return SUCCESS;
}

EXPORT int cuDriverGetVersion(int *version) {
    *version = 13000;
    return SUCCESS;
}

EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device) {
    enum { TEXTURE_ALIGNMENT = 14, MAJOR = 75, MINOR = 76 };
    (void)device;
    *value = attribute == TEXTURE_ALIGNMENT ? 512
             : attribute == MAJOR           ? 8
             : attribute == MINOR           ? 9
                                            : 0;
    return SUCCESS;
}

EXPORT int cuMemAlloc_v2(void **memory, size_t size) {
    *memory = aligned_alloc(512, (size + 511) / 512 * 512);
    return *memory ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT int cuMemAllocPitch_v2(void **memory, size_t *pitch, size_t width, size_t height,
                              unsigned element) {
    (void)element;
    *pitch = (width + 511) / 512 * 512;
    return cuMemAlloc_v2(memory, *pitch * height);
}

EXPORT int cuMemAllocHost_v2(void **memory, size_t size) {
    return cuMemAlloc_v2(memory, size);
}

EXPORT int cuMemFree_v2(void *memory) {
    free(memory);
    return SUCCESS;
}

EXPORT int cuMemFreeHost(void *memory) {
    return cuMemFree_v2(memory);
}

/* CUDA_MEMCPY2D. */
struct side {
    size_t x, y;
    int type;
    char *host, *device;
    void *array;
    size_t pitch;
};
struct copy {
    struct side from, to;
    size_t width, height;
};

enum { HOST = 1 };

static char *start_of(const struct side *side) {
    return (side->type == HOST ? side->host : side->device) + side->y * side->pitch + side->x;
}

EXPORT int cuMemcpy2D_v2(const struct copy *copy) {
    const char *from = start_of(&copy->from);
    char *to = start_of(&copy->to);
    for (size_t row = 0; row < copy->height; row++)
        memcpy(to + row * copy->to.pitch, from + row * copy->from.pitch, copy->width);
    if ((copy->from.type == HOST) != (copy->to.type == HOST))
        note(copy->to.type == HOST ? "downloaded" : "uploaded", 0, copy->width * copy->height);
    return SUCCESS;
}

EXPORT int cuMemcpy2DAsync_v2(const struct copy *copy, void *stream) {
    (void)stream;
    return cuMemcpy2D_v2(copy);
}

EXPORT int cuStreamCreate(void **stream, unsigned flags) {
    (void)flags;
    *stream = malloc(1);
    return SUCCESS;
}

EXPORT int cuStreamDestroy_v2(void *stream) {
    free(stream);
    return SUCCESS;
}

EXPORT int cuStreamSynchronize(void *stream) {
    (void)stream;
    return SUCCESS;
}

EXPORT int cuGetErrorName(int error, const char **name) {
    (void)error;
    *name = "simulated";
    return SUCCESS;
}

EXPORT int cuGetErrorString(int error, const char **text) {
    (void)error;
    *text = "refused by the simulated driver";
    return SUCCESS;
}

/* FFmpeg and GStreamer require these symbols to exist, but don't call them here. */
#define STUB(name) \
    EXPORT int name(void) { return NOT_SUPPORTED; }

STUB(cuArray3DCreate_v2)
STUB(cuArrayCreate_v2)
STUB(cuArrayDestroy)
STUB(cuCtxDisablePeerAccess)
STUB(cuCtxEnablePeerAccess)
STUB(cuCtxGetDevice)
STUB(cuCtxSetLimit)
STUB(cuDeviceCanAccessPeer)
STUB(cuDevicePrimaryCtxReset)
STUB(cuDevicePrimaryCtxSetFlags)
STUB(cuEventCreate)
STUB(cuEventDestroy_v2)
STUB(cuEventQuery)
STUB(cuEventRecord)
STUB(cuEventSynchronize)
STUB(cuGLGetDevices_v2)
STUB(cuGraphicsGLRegisterBuffer)
STUB(cuGraphicsGLRegisterImage)
STUB(cuGraphicsMapResources)
STUB(cuGraphicsResourceGetMappedPointer_v2)
STUB(cuGraphicsResourceSetMapFlags_v2)
STUB(cuGraphicsSubResourceGetMappedArray)
STUB(cuGraphicsUnmapResources)
STUB(cuGraphicsUnregisterResource)
STUB(cuLaunchKernel)
STUB(cuLinkAddData)
STUB(cuLinkComplete)
STUB(cuLinkCreate)
STUB(cuLinkDestroy)
STUB(cuMemAllocManaged)
STUB(cuMemcpy)
STUB(cuMemcpyAsync)
STUB(cuMemcpyDtoDAsync_v2)
STUB(cuMemcpyDtoD_v2)
STUB(cuMemcpyDtoHAsync_v2)
STUB(cuMemcpyDtoH_v2)
STUB(cuMemcpyHtoDAsync_v2)
STUB(cuMemcpyHtoD_v2)
STUB(cuMemsetD8Async)
STUB(cuModuleGetFunction)
STUB(cuModuleGetGlobal)
STUB(cuModuleLoadData)
STUB(cuModuleUnload)
STUB(cuStreamAddCallback)
STUB(cuStreamDestroy)
STUB(cuStreamQuery)
STUB(cuStreamWaitEvent)
STUB(cuTexObjectCreate)
STUB(cuTexObjectDestroy)
