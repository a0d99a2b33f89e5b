/* Shared by the three libraries of the simulated driver: its folder, settings and sessions.
 *
 * NVSIM_DIR names the folder. Its file `settings` has lines `key value` and is read at every query,
 * so a test can change the driver while programs use it. An open session is a file `session-N` that
 * its process keeps locked: like the real driver, this frees the sessions of a process that dies.
 * `events` gets a line for each session opened, refused or closed.
 *
 * A GPU is identified by its index in NVML's order, whatever number CUDA gives it in a process.
 */
#ifndef NVSIM_SIMULATION_H
#define NVSIM_SIMULATION_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_SESSIONS 64
#define TEXT 256
#define ROOMY_MB 16384
#define SESSION_MB 100

/* First part of a libcuda.so.1 context, which tells libnvidia-encode.so.1 the GPU. */
struct context {
    int gpu;
};

struct session {
    unsigned number, pid, gpu, width, height, fps;
};

static inline void path_of(char *path, const char *name) {
    const char *folder = getenv("NVSIM_DIR");
    snprintf(path, TEXT, "%s/%s", folder ? folder : "/nonexistent", name);
}

/* Return the value of a setting, or `fallback` if it has none. */
static inline const char *setting(const char *key, const char *fallback, char *value) {
    char path[TEXT], line[TEXT];
    size_t length = strlen(key);
    snprintf(value, TEXT, "%s", fallback);
    path_of(path, "settings");
    FILE *file = fopen(path, "re");
    if (!file)
        return value;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, key, length) && line[length] == ' ') {
            line[strcspn(line, "\n")] = 0;
            snprintf(value, TEXT, "%s", line + length + 1);
        }
    fclose(file);
    return value;
}

static inline int number(const char *key, int fallback) {
    char value[TEXT];
    setting(key, "", value);
    return *value ? atoi(value) : fallback;
}

/* The same for one GPU: a line `key.GPU value` overrides `key value`. */
static inline const char *setting_of(int gpu, const char *key, const char *fallback, char *value) {
    char own[TEXT / 2], common[TEXT];
    snprintf(own, sizeof own, "%s.%d", key, gpu);
    return setting(own, setting(key, fallback, common), value);
}

static inline int number_of(int gpu, const char *key, int fallback) {
    char value[TEXT];
    setting_of(gpu, key, "", value);
    return *value ? atoi(value) : fallback;
}

/* As NVML prints it and CUDA_VISIBLE_DEVICES accepts it. */
static inline void uuid_of(int gpu, char *uuid, size_t length) {
    snprintf(uuid, length, "GPU-00000000-0000-0000-0000-%012d", gpu);
}

static inline void note(const char *event, unsigned gpu, int detail) {
    char path[TEXT], line[TEXT];
    path_of(path, "events");
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int length = snprintf(line, sizeof line, "%s %d %u %d\n", event, getpid(), gpu, detail);
    if (file >= 0) {
        if (write(file, line, length) != length)
            abort();
        close(file);
    }
}

/* Enter the critical section for counting sessions; closing the descriptor leaves it. */
static inline int enter(void) {
    char path[TEXT];
    path_of(path, "lock");
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock >= 0)
        flock(lock, LOCK_EX);
    return lock;
}

static inline int open_session_file(unsigned number) {
    char path[TEXT], name[TEXT / 2];
    snprintf(name, sizeof name, "session-%u", number);
    path_of(path, name);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* List the open sessions of one GPU, or of all (gpu < 0). Call it in the critical section. */
static inline unsigned sessions_on(int gpu, struct session *found) {
    unsigned count = 0;
    for (unsigned number = 0; number < MAX_SESSIONS; number++) {
        int file = open_session_file(number);
        if (file < 0)
            continue;
        if (flock(file, LOCK_EX | LOCK_NB)) {
            char text[TEXT] = "";
            struct session *one = &found[count];
            memset(one, 0, sizeof *one);
            one->number = number;
            if (pread(file, text, sizeof text - 1, 0) > 0)
                sscanf(text, "%u %u %u %u %u", &one->pid, &one->gpu, &one->width, &one->height,
                       &one->fps);
            if (gpu < 0 || one->gpu == (unsigned)gpu)
                count++;
        }
        close(file);
    }
    return count;
}

#endif
