// SPDX-License-Identifier: MIT
/* A disk that is slow, stands still or fails: fsync and fdatasync of the files below one directory.

   LD_PRELOAD this, with
   SLOW_DISK_BELOW  the directory, as the kernel names it
   SLOW_DISK_PLAN   a file whose only line is read at each sync:
                      slow LOW HIGH    it takes so many milliseconds, by chance
                      hold             it waits for another plan
                      fail N PART      the next N, of files with PART in their name, fail with EIO; 0: all do
   SLOW_DISK_LOG    a file that gets a line for each sync: begin and end [ns, CLOCK_MONOTONIC], errno, path
   SLOW_DISK_SEED   of chance */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE 200
#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char last_plan[LINE];
static int failed;
static unsigned seed;

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void rest_ms(long ms) {
    struct timespec rest = {ms / 1000, ms % 1000 * NS_PER_MS};
    nanosleep(&rest, NULL);
}

static void read_plan(char *plan) {
    const char *path = getenv("SLOW_DISK_PLAN");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t size = file < 0 ? 0 : read(file, plan, LINE - 1);
    plan[size > 0 ? size : 0] = 0;
    if (file >= 0) close(file);
}

/* The errno that this sync shall end with, after the time that it shall take. */
static int weather(const char *path) {
    char plan[LINE], part[LINE];
    int low, high, count, error = 0;
    read_plan(plan);
    while (!strncmp(plan, "hold", 4)) {
        rest_ms(5);
        read_plan(plan);
    }
    pthread_mutex_lock(&lock);
    if (strcmp(plan, last_plan)) {
        strcpy(last_plan, plan);
        failed = 0;
    }
    long wait_ms = 0;
    if (sscanf(plan, "slow %d %d", &low, &high) == 2) {
        if (!seed) seed = atoi(getenv("SLOW_DISK_SEED") ?: "1");
        wait_ms = low + rand_r(&seed) % (high - low + 1);
    } else if (sscanf(plan, "fail %d %199s", &count, part) == 2 && strstr(path, part) && (!count || failed < count)) {
        failed++;
        error = EIO;
    }
    pthread_mutex_unlock(&lock);
    rest_ms(wait_ms);
    return error;
}

static void note(long long began_ns, int error, const char *path) {
    char line[PATH_MAX + LINE];
    const char *log = getenv("SLOW_DISK_LOG");
    int size = snprintf(line, sizeof line, "%lld %lld %d %s\n", began_ns, now_ns(), error, path);
    int file = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (file < 0 || write(file, line, size) != size) abort();
    close(file);
}

static int synced(const char *name, int file) {
    char link[64], path[PATH_MAX];
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *below = getenv("SLOW_DISK_BELOW");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
    if (!below || strncmp(path, below, strlen(below))) return real(file);
    long long began_ns = now_ns();
    int error = weather(path);
    if (!error && real(file)) error = errno;
    note(began_ns, error, path);
    errno = error;
    return error ? -1 : 0;
}

int fsync(int file) { return synced("fsync", file); }

int fdatasync(int file) { return synced("fdatasync", file); }
