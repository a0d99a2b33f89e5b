/* libcuda.so.1: as much of CUDA's driver as FFmpeg's NVENC needs for frames in host memory. */
#include "simulation.h"

enum { SUCCESS = 0, INVALID_VALUE = 1, NO_DEVICE = 100, INVALID_DEVICE = 101, NOT_SUPPORTED = 801 };

EXPORT int cuInit(unsigned flags) {
    (void)flags;
    return number("gpus", 1) ? SUCCESS : NO_DEVICE;
}

EXPORT int cuDeviceGetCount(int *count) {
    *count = number("gpus", 1);
    return SUCCESS;
}

EXPORT int cuDeviceGet(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= number("gpus", 1))
        return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

EXPORT int cuDeviceGetName(char *name, int length, int device) {
    char value[TEXT];
    (void)device;
    snprintf(name, length, "%s", setting("name", "NVIDIA GeForce", value));
    return SUCCESS;
}

EXPORT int cuDeviceComputeCapability(int *major, int *minor, int device) {
    (void)device;
    *major = 8;
    *minor = 9;
    return SUCCESS;
}

EXPORT int cuCtxCreate_v2(struct context **context, unsigned flags, int device) {
    (void)flags;
    *context = malloc(sizeof **context);
    (*context)->gpu = device;
    return SUCCESS;
}

EXPORT int cuCtxDestroy_v2(struct context *context) {
    free(context);
    return SUCCESS;
}

EXPORT int cuCtxPushCurrent_v2(struct context *context) {
    (void)context;
    return SUCCESS;
}

EXPORT int cuCtxPopCurrent_v2(struct context **context) {
    if (context)
        *context = NULL;
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

/* FFmpeg refuses a driver that lacks any of these names, though it calls none of them here. */
#define ABSENT(name) \
    EXPORT int name(void) { return NOT_SUPPORTED; }

ABSENT(cuArray3DCreate_v2)
ABSENT(cuArrayCreate_v2)
ABSENT(cuArrayDestroy)
ABSENT(cuCtxGetCurrent)
ABSENT(cuCtxGetDevice)
ABSENT(cuCtxSetLimit)
ABSENT(cuDeviceGetAttribute)
ABSENT(cuDeviceGetUuid)
ABSENT(cuDevicePrimaryCtxGetState)
ABSENT(cuDevicePrimaryCtxRelease)
ABSENT(cuDevicePrimaryCtxReset)
ABSENT(cuDevicePrimaryCtxRetain)
ABSENT(cuDevicePrimaryCtxSetFlags)
ABSENT(cuDriverGetVersion)
ABSENT(cuEventCreate)
ABSENT(cuEventDestroy_v2)
ABSENT(cuEventQuery)
ABSENT(cuEventRecord)
ABSENT(cuEventSynchronize)
ABSENT(cuGLGetDevices_v2)
ABSENT(cuGraphicsGLRegisterImage)
ABSENT(cuGraphicsMapResources)
ABSENT(cuGraphicsResourceGetMappedPointer_v2)
ABSENT(cuGraphicsSubResourceGetMappedArray)
ABSENT(cuGraphicsUnmapResources)
ABSENT(cuGraphicsUnregisterResource)
ABSENT(cuLaunchKernel)
ABSENT(cuLinkAddData)
ABSENT(cuLinkComplete)
ABSENT(cuLinkCreate)
ABSENT(cuLinkDestroy)
ABSENT(cuMemAllocManaged)
ABSENT(cuMemAllocPitch_v2)
ABSENT(cuMemAlloc_v2)
ABSENT(cuMemFree_v2)
ABSENT(cuMemcpy)
ABSENT(cuMemcpy2DAsync_v2)
ABSENT(cuMemcpy2D_v2)
ABSENT(cuMemcpyAsync)
ABSENT(cuMemcpyDtoDAsync_v2)
ABSENT(cuMemcpyDtoD_v2)
ABSENT(cuMemcpyDtoHAsync_v2)
ABSENT(cuMemcpyDtoH_v2)
ABSENT(cuMemcpyHtoDAsync_v2)
ABSENT(cuMemcpyHtoD_v2)
ABSENT(cuMemsetD8Async)
ABSENT(cuModuleGetFunction)
ABSENT(cuModuleGetGlobal)
ABSENT(cuModuleLoadData)
ABSENT(cuModuleUnload)
ABSENT(cuStreamAddCallback)
ABSENT(cuStreamCreate)
ABSENT(cuStreamDestroy_v2)
ABSENT(cuStreamQuery)
ABSENT(cuStreamSynchronize)
ABSENT(cuStreamWaitEvent)
ABSENT(cuTexObjectCreate)
ABSENT(cuTexObjectDestroy)
