// SPDX-License-Identifier: MIT
// Preloaded into PostgreSQL: while the file that FULL_DISK names is there, no table can grow.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int full(int descriptor, off_t end)
{
    const char *path = getenv("FULL_DISK");
    struct stat found;
    char link[64], name[512];
    if (!path || access(path, F_OK) || fstat(descriptor, &found) || end <= found.st_size)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0)
        return 0;
    name[length] = 0;
    return strstr(name, "/base/") != NULL;
}

ssize_t pwrite64(int descriptor, const void *content, size_t size, off64_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "pwrite64");
    if (full(descriptor, offset + size)) {
        errno = ENOSPC;
        return -1;
    }
    return real(descriptor, content, size, offset);
}

ssize_t pwrite(int descriptor, const void *content, size_t size, off_t offset)
{
    return pwrite64(descriptor, content, size, offset);
}
