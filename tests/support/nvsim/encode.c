/* libnvidia-encode.so.1: NVENC's API as FFmpeg (13.0) and GStreamer 1.22 (11.1) use it, with x264
 * as the encoder.
 *
 * The API's structures are accessed by the offsets of their members on x86-64, so that no NVIDIA
 * header is needed.
 */
#include "simulation.h"

#include <signal.h>
#include <x264.h>

enum {
    SUCCESS = 0,
    NO_ENCODE_DEVICE = 1,
    UNSUPPORTED_DEVICE = 2,
    INVALID_PARAM = 8,
    OUT_OF_MEMORY = 10,
    GENERIC = 20,
    UNIMPLEMENTED = 22
};
enum { FORCE_INTRA = 1, FORCE_IDR = 2, END_OF_STREAM = 8 };
enum { TYPE_P = 0, TYPE_I = 2, TYPE_IDR = 3 };
enum { NV12 = 1, YV12 = 16, IYUV = 256 };

#define FIELD(type, structure, offset) (*(type *)((char *)(structure) + (offset)))

typedef struct {
    uint32_t first;
    uint16_t second, third;
    uint8_t rest[8];
} guid;

static const guid H264 = {0x6bc82762, 0x4e63, 0x4ca4,
                          {0xaa, 0x85, 0x1e, 0x50, 0xf3, 0x21, 0xf6, 0xbf}};

static const guid PROFILES[] = {
    {0xbfd6f8e7, 0x233c, 0x4341, {0x8b, 0x3e, 0x48, 0x18, 0x52, 0x38, 0x03, 0xf4}}, /* autoselect */
    {0x0727bcaa, 0x78c4, 0x4c83, {0x8c, 0x2f, 0xef, 0x3d, 0xff, 0x26, 0x7c, 0x6a}}, /* baseline */
    {0x60b5c1d4, 0x67fe, 0x4790, {0x94, 0xd5, 0xc4, 0x72, 0x6d, 0x7b, 0x6e, 0x6d}}, /* main */
    {0xe7cbc309, 0x4f7a, 0x4b89, {0xaf, 0x2a, 0xd5, 0x37, 0xc9, 0x2b, 0xe3, 0x10}}, /* high */
};
static const int FORMATS[] = {NV12, YV12, IYUV};

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct encoder {
    int gpu, file;
    unsigned session, frames;
    int width, height;
    x264_t *x264;
};

struct frame_buffer {
    int width, height, pitch, format;
    uint8_t *pixels;
};

struct bitstream {
    uint8_t *bytes;
    int size, capacity, type, qp;
    uint64_t time, duration;
    uint32_t index;
};

/* Injected faults: a setting `<fault>_after N` strikes at the Nth frame of each session. */
static int strikes(const char *fault, unsigned frames) {
    int after = number(fault, -1);
    return after >= 0 && frames >= (unsigned)after;
}

static int refuse(int gpu, int code) {
    note("refused", gpu, code);
    return code;
}

static int open_session(void *parameters, struct encoder **opened) {
    struct session others[MAX_SESSIONS];
    struct context *context = FIELD(struct context *, parameters, 8);
    int gpu = context ? context->gpu : 0, code = number_of(gpu, "open_code", SUCCESS);
    *opened = NULL;
    while (number("open_hangs", 0))
        usleep(10000);
    if (code != SUCCESS)
        return refuse(gpu, code);
    if (number_of(gpu, "memory_free", ROOMY_MB) < SESSION_MB)
        return refuse(gpu, OUT_OF_MEMORY);
    int lock = enter();
    unsigned open = sessions_on(number("per_gpu", 0) ? gpu : -1, others);
    if (open >= (unsigned)number("cap", MAX_SESSIONS)) {
        close(lock);
        return refuse(gpu, number("refusal", OUT_OF_MEMORY));
    }
    struct encoder *encoder = calloc(1, sizeof *encoder);
    char text[TEXT];
    encoder->gpu = gpu;
    for (encoder->session = 0; encoder->session < MAX_SESSIONS; encoder->session++) {
        encoder->file = open_session_file(encoder->session);
        if (!flock(encoder->file, LOCK_EX | LOCK_NB))
            break;
        close(encoder->file);
    }
    int length = snprintf(text, sizeof text, "%d %d 0 0 0\n", getpid(), gpu);
    if (ftruncate(encoder->file, 0) || pwrite(encoder->file, text, length, 0) != length)
        abort();
    note("opened", gpu, open + 1);
    close(lock);
    *opened = encoder;
    return SUCCESS;
}

static int destroy_encoder(struct encoder *encoder) {
    if (encoder->x264)
        x264_encoder_close(encoder->x264);
    note("closed", encoder->gpu, encoder->frames);
    close(encoder->file);
    free(encoder);
    return SUCCESS;
}

static int guid_count(struct encoder *encoder, uint32_t *count) {
    (void)encoder;
    *count = 1;
    return SUCCESS;
}

static int guids(struct encoder *encoder, guid *found, uint32_t room, uint32_t *count) {
    (void)encoder;
    *count = room > 0;
    if (room)
        found[0] = H264;
    return SUCCESS;
}

static int profile_count(struct encoder *encoder, guid codec, uint32_t *count) {
    (void)encoder, (void)codec;
    *count = COUNT(PROFILES);
    return SUCCESS;
}

static int profiles(struct encoder *encoder, guid codec, guid *found, uint32_t room,
                    uint32_t *count) {
    (void)encoder, (void)codec;
    *count = room < COUNT(PROFILES) ? room : COUNT(PROFILES);
    memcpy(found, PROFILES, *count * sizeof *found);
    return SUCCESS;
}

static int format_count(struct encoder *encoder, guid codec, uint32_t *count) {
    (void)encoder, (void)codec;
    *count = COUNT(FORMATS);
    return SUCCESS;
}

static int formats(struct encoder *encoder, guid codec, int *found, uint32_t room,
                   uint32_t *count) {
    (void)encoder, (void)codec;
    *count = room < COUNT(FORMATS) ? room : COUNT(FORMATS);
    memcpy(found, FORMATS, *count * sizeof *found);
    return SUCCESS;
}

static int caps(struct encoder *encoder, guid codec, void *parameters, int *value) {
    (void)encoder, (void)codec;
    switch (FIELD(int, parameters, 4)) {
    case 1: /* rate control modes: constant QP, VBR, CBR */
        *value = 3;
        break;
    case 13: /* level */
        *value = 62;
        break;
    case 16: /* maximum width */
    case 17: /* maximum height */
        *value = 4096;
        break;
    case 26: /* custom rate-control buffer size */
        *value = 1;
        break;
    case 31: /* macroblocks */
        *value = 65536;
        break;
    case 32: /* macroblocks per second */
        *value = 983040;
        break;
    case 45: /* minimum width */
    case 46: /* minimum height */
        *value = 32;
        break;
    default:
        *value = 0;
    }
    return SUCCESS;
}

static int preset_config(struct encoder *encoder, guid codec, guid preset, int tuning,
                         void *configuration) {
    (void)encoder, (void)codec, (void)preset, (void)tuning;
    char *config = (char *)configuration + 8;
    FIELD(uint32_t, config, 20) = 30; /* gopLength */
    FIELD(int32_t, config, 24) = 1;   /* frameIntervalP */
    return SUCCESS;
}

static int legacy_preset_config(struct encoder *encoder, guid codec, guid preset,
                               void *configuration) {
    return preset_config(encoder, codec, preset, 0, configuration);
}

static int initialize(struct encoder *encoder, void *parameters) {
    x264_param_t x264;
    char *config = FIELD(char *, parameters, 88), text[TEXT];
    encoder->width = FIELD(int, parameters, 36);
    encoder->height = FIELD(int, parameters, 40);
    unsigned numerator = FIELD(uint32_t, parameters, 52);
    unsigned denominator = FIELD(uint32_t, parameters, 56);
    if (!config || encoder->x264 || !denominator)
        return INVALID_PARAM;
    x264_param_default_preset(&x264, "ultrafast", "zerolatency");
    x264.i_threads = 1;
    x264.i_log_level = X264_LOG_NONE;
    x264.i_csp = X264_CSP_I420;
    x264.i_width = encoder->width;
    x264.i_height = encoder->height;
    x264.i_fps_num = numerator;
    x264.i_fps_den = denominator;
    x264.b_vfr_input = 0;
    x264.b_repeat_headers = 1;
    x264.b_annexb = 1;
    x264.i_keyint_max = FIELD(uint32_t, config, 20);
    x264.i_scenecut_threshold = 0;
    /* h264VUIParameters: the stream's colour description. */
    if (FIELD(uint32_t, config, 248))
        x264.vui.b_fullrange = FIELD(uint32_t, config, 256);
    if (FIELD(uint32_t, config, 260)) {
        x264.vui.i_colorprim = FIELD(uint32_t, config, 264);
        x264.vui.i_transfer = FIELD(uint32_t, config, 268);
        x264.vui.i_colmatrix = FIELD(uint32_t, config, 272);
    }
    if (FIELD(uint32_t, config, 60)) {
        x264.rc.i_rc_method = X264_RC_ABR;
        x264.rc.i_bitrate = FIELD(uint32_t, config, 60) / 1000;
        x264.rc.i_vbv_max_bitrate = x264.rc.i_bitrate;
        x264.rc.i_vbv_buffer_size = FIELD(uint32_t, config, 68) / 1000;
    }
    x264_param_apply_profile(&x264, "baseline");
    encoder->x264 = x264_encoder_open(&x264);
    if (!encoder->x264)
        return INVALID_PARAM;
    int length = snprintf(text, sizeof text, "%d %d %d %d %u\n", getpid(), encoder->gpu,
                          encoder->width, encoder->height, numerator / denominator);
    return pwrite(encoder->file, text, length, 0) == length ? SUCCESS : GENERIC;
}

static int is_supported(int format) {
    return format == NV12 || format == YV12 || format == IYUV;
}

static int create_input(struct encoder *encoder, void *parameters) {
    (void)encoder;
    struct frame_buffer *buffer = calloc(1, sizeof *buffer);
    buffer->width = FIELD(int, parameters, 4);
    buffer->height = FIELD(int, parameters, 8);
    buffer->format = FIELD(int, parameters, 16);
    buffer->pitch = (buffer->width + 63) / 64 * 64;
    buffer->pixels = calloc(2, (size_t)buffer->pitch * (buffer->height + 1));
    FIELD(void *, parameters, 24) = buffer;
    return is_supported(buffer->format) ? SUCCESS : INVALID_PARAM;
}

static int destroy_input(struct encoder *encoder, struct frame_buffer *buffer) {
    (void)encoder;
    free(buffer->pixels);
    free(buffer);
    return SUCCESS;
}

static int lock_input(struct encoder *encoder, void *parameters) {
    (void)encoder;
    struct frame_buffer *buffer = FIELD(struct frame_buffer *, parameters, 8);
    FIELD(void *, parameters, 16) = buffer->pixels;
    FIELD(uint32_t, parameters, 24) = buffer->pitch;
    return SUCCESS;
}

static int unlock_input(struct encoder *encoder, struct frame_buffer *buffer) {
    (void)encoder, (void)buffer;
    return SUCCESS;
}

/* The program's own device memory, read in place. */
static int register_resource(struct encoder *encoder, void *parameters) {
    (void)encoder;
    struct frame_buffer *buffer = calloc(1, sizeof *buffer);
    buffer->width = FIELD(int, parameters, 8);
    buffer->height = FIELD(int, parameters, 12);
    buffer->pitch = FIELD(int, parameters, 16);
    buffer->pixels = FIELD(uint8_t *, parameters, 24);
    buffer->format = FIELD(int, parameters, 40);
    FIELD(void *, parameters, 32) = buffer;
    return is_supported(buffer->format) ? SUCCESS : INVALID_PARAM;
}

static int unregister_resource(struct encoder *encoder, struct frame_buffer *buffer) {
    (void)encoder;
    free(buffer);
    return SUCCESS;
}

static int map_resource(struct encoder *encoder, void *parameters) {
    (void)encoder;
    struct frame_buffer *buffer = FIELD(struct frame_buffer *, parameters, 16);
    FIELD(void *, parameters, 24) = buffer;
    FIELD(int, parameters, 32) = buffer->format;
    return SUCCESS;
}

static int unmap_resource(struct encoder *encoder, struct frame_buffer *buffer) {
    (void)encoder, (void)buffer;
    return SUCCESS;
}

static int create_bitstream(struct encoder *encoder, void *parameters) {
    (void)encoder;
    FIELD(void *, parameters, 16) = calloc(1, sizeof(struct bitstream));
    return SUCCESS;
}

static int destroy_bitstream(struct encoder *encoder, struct bitstream *bitstream) {
    (void)encoder;
    free(bitstream->bytes);
    free(bitstream);
    return SUCCESS;
}

static void set_planes(x264_picture_t *picture, const struct frame_buffer *buffer) {
    size_t luma = (size_t)buffer->pitch * buffer->height;
    size_t chroma = (size_t)(buffer->pitch / 2) * ((buffer->height + 1) / 2);
    int swapped = buffer->format == YV12;
    picture->img.plane[0] = buffer->pixels;
    picture->img.i_stride[0] = buffer->pitch;
    if (buffer->format == NV12) {
        picture->img.i_csp = X264_CSP_NV12;
        picture->img.i_plane = 2;
        picture->img.plane[1] = buffer->pixels + luma;
        picture->img.i_stride[1] = buffer->pitch;
        return;
    }
    picture->img.i_csp = X264_CSP_I420;
    picture->img.i_plane = 3;
    picture->img.plane[1 + swapped] = buffer->pixels + luma;
    picture->img.plane[2 - swapped] = buffer->pixels + luma + chroma;
    picture->img.i_stride[1] = picture->img.i_stride[2] = buffer->pitch / 2;
}

static void store(struct bitstream *bitstream, const uint8_t *bytes, int size) {
    if (bitstream->capacity < size) {
        bitstream->bytes = realloc(bitstream->bytes, size);
        bitstream->capacity = size;
    }
    memcpy(bitstream->bytes, bytes, size);
    bitstream->size = size;
}

static int encode_picture(struct encoder *encoder, void *parameters) {
    x264_picture_t picture, coded;
    x264_nal_t *nals;
    int count;
    uint32_t flags = FIELD(uint32_t, parameters, 16);
    if (flags & END_OF_STREAM)
        return SUCCESS;
    if (strikes("encode_fails_after", encoder->frames))
        return GENERIC;
    if (strikes("encode_crashes_after", encoder->frames))
        raise(SIGSEGV);
    while (strikes("encode_hangs_after", encoder->frames))
        usleep(10000);
    struct bitstream *bitstream = FIELD(struct bitstream *, parameters, 48);
    x264_picture_init(&picture);
    set_planes(&picture, FIELD(struct frame_buffer *, parameters, 40));
    picture.i_pts = encoder->frames++;
    picture.i_type = flags & (FORCE_IDR | FORCE_INTRA) ? X264_TYPE_IDR : X264_TYPE_AUTO;
    int size = x264_encoder_encode(encoder->x264, &nals, &count, &picture, &coded);
    if (size <= 0)
        return GENERIC;
    store(bitstream, nals[0].p_payload, size);
    bitstream->time = FIELD(uint64_t, parameters, 24);
    bitstream->duration = FIELD(uint64_t, parameters, 32);
    bitstream->index = FIELD(uint32_t, parameters, 20);
    bitstream->type = coded.b_keyframe                  ? TYPE_IDR
                      : IS_X264_TYPE_I(coded.i_type) ? TYPE_I
                                                      : TYPE_P;
    bitstream->qp = coded.i_qpplus1 - 1;
    return SUCCESS;
}

static int lock_bitstream(struct encoder *encoder, void *parameters) {
    (void)encoder;
    struct bitstream *bitstream = FIELD(struct bitstream *, parameters, 8);
    FIELD(uint32_t, parameters, 24) = bitstream->index;
    FIELD(uint32_t, parameters, 36) = bitstream->size;
    FIELD(uint64_t, parameters, 40) = bitstream->time;
    FIELD(uint64_t, parameters, 48) = bitstream->duration;
    FIELD(void *, parameters, 56) = bitstream->bytes;
    FIELD(uint32_t, parameters, 64) = bitstream->type;
    FIELD(uint32_t, parameters, 68) = 1; /* a frame, not a field */
    FIELD(uint32_t, parameters, 72) = bitstream->qp > 0 ? bitstream->qp : 0;
    return SUCCESS;
}

static int unlock_bitstream(struct encoder *encoder, struct bitstream *bitstream) {
    (void)encoder, (void)bitstream;
    return SUCCESS;
}

static int sequence_params(struct encoder *encoder, void *parameters) {
    x264_nal_t *nals;
    int count;
    if (!encoder->x264 || x264_encoder_headers(encoder->x264, &nals, &count) < 0 || count < 2)
        return GENERIC;
    uint32_t size = nals[0].i_payload + nals[1].i_payload;
    if (size > FIELD(uint32_t, parameters, 4))
        return INVALID_PARAM;
    memcpy(FIELD(void *, parameters, 16), nals[0].p_payload, size);
    *FIELD(uint32_t *, parameters, 24) = size;
    return SUCCESS;
}

static int set_streams(struct encoder *encoder, void *input, void *output) {
    (void)encoder, (void)input, (void)output;
    return SUCCESS;
}

static const char *last_error(struct encoder *encoder) {
    (void)encoder;
    return "the simulated encoder was configured to fail";
}

static int unimplemented(void) {
    return UNIMPLEMENTED;
}

EXPORT int NvEncodeAPIGetMaxSupportedVersion(uint32_t *version) {
    *version = 13 << 4;
    return SUCCESS;
}

EXPORT int NvEncodeAPICreateInstance(void *list) {
    void **functions = (void **)((char *)list + 8);
    for (int index = 0; index < 42; index++)
        functions[index] = (void *)unimplemented;
    functions[1] = (void *)guid_count;
    functions[2] = (void *)profile_count;
    functions[3] = (void *)profiles;
    functions[4] = (void *)guids;
    functions[5] = (void *)format_count;
    functions[6] = (void *)formats;
    functions[7] = (void *)caps;
    functions[10] = (void *)legacy_preset_config;
    functions[11] = (void *)initialize;
    functions[12] = (void *)create_input;
    functions[13] = (void *)destroy_input;
    functions[14] = (void *)create_bitstream;
    functions[15] = (void *)destroy_bitstream;
    functions[16] = (void *)encode_picture;
    functions[17] = (void *)lock_bitstream;
    functions[18] = (void *)unlock_bitstream;
    functions[19] = (void *)lock_input;
    functions[20] = (void *)unlock_input;
    functions[22] = (void *)sequence_params;
    functions[25] = (void *)map_resource;
    functions[26] = (void *)unmap_resource;
    functions[27] = (void *)destroy_encoder;
    functions[29] = (void *)open_session;
    functions[30] = (void *)register_resource;
    functions[31] = (void *)unregister_resource;
    functions[37] = (void *)last_error;
    functions[38] = (void *)set_streams;
    functions[39] = (void *)preset_config;
    return SUCCESS;
}
