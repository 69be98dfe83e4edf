/* What the guest's programs share: parameters from the kernel command line, a mixer, output in whole lines. */
#ifndef XTL_GUEST_H
#define XTL_GUEST_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One write a line: the console ring takes it whole, so lines of kernel and program do not mix. */
__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    for (int done = 0; done < length;) {
        ssize_t n = write(STDOUT_FILENO, line + done, length - done);
        if (n <= 0)
            return;
        done += n;
    }
}

static inline void fail(const char *what)
{
    say("guest: %s: %m", what);
    exit(2);
}

static inline const char *command_line(void)
{
    static char text[4096];
    if (text[0] == 0) {
        int fd = open("/proc/cmdline", O_RDONLY);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        if (fd >= 0)
            close(fd);
        text[n > 0 ? n : 0] = 0;
    }
    return text;
}

/* The value of NAME=VALUE on the kernel command line, or NULL. */
static inline const char *parameter(const char *name)
{
    static char value[1024];
    size_t length = strlen(name);
    for (const char *at = command_line(); (at = strstr(at, name)) != NULL; at += length) {
        if ((at == command_line() || at[-1] == ' ') && at[length] == '=') {
            const char *start = at + length + 1;
            size_t n = strcspn(start, " \n");
            if (n >= sizeof value)
                n = sizeof value - 1;
            memcpy(value, start, n);
            value[n] = 0;
            return value;
        }
    }
    return NULL;
}

static inline uint64_t number(const char *name, uint64_t otherwise)
{
    const char *value = parameter(name);
    return value == NULL ? otherwise : strtoull(value, NULL, 0);
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64-bit values. */
static inline uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#endif
