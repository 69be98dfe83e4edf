/*
 * A guest that can tell whether its memory and a directory of Dom0 are of the same moment.
 *
 * The directory is mounted by 9pfs, at /d; its data are in /d/data. Step k has the hash h(k) = mix(h(k-1) + k) and
 *   appends "k h(k)" to log, which stays open; after every 16th line log becomes log.old, and a new one is begun,
 *   writes k and h(k) to a new file and moves that over f(k mod 8),
 *   makes g(k), and removes g(k - 3),
 *   makes the directory d and a file in it, or removes both, each second step.
 * After each step some of it is compared with what memory says, and all of it after every 8th one and after a restore; the
 * first disagreement is printed as BROKEN and ends the program.
 *
 * A guest that was restored finds its mount without a server that knows it (EPROTO, EIO or EINVAL; Linux's 9pfs frontend
 * says "suspend/resume unsupported"). The call that failed had no effect: the program mounts the directory anew, prints
 * "remounted at step K", and makes the call again; after that step it prints "verified at step K".
 *
 * Kernel command line:
 *   scribe.tag=TAG      (share)
 *   scribe.period=MS    time from one step to the next (20)
 *
 * Output, a line a step: step K hash H ms T.
 */
#define _GNU_SOURCE
#include "guest.h"
#include <dirent.h>
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { SLOTS = 8, KEPT = 3, LINES = 16 };
#define DATA "/d/data/"

static uint64_t step, hash, slot_hash[SLOTS], slot_step[SLOTS], log_first, old_first, line_hash[2 * LINES];
static int log_fd = -1;
static bool remounted;
static const char *tag = "share";

static void broken(const char *what, const char *name)
{
    say("BROKEN at step %llu: %s %s: %m", (unsigned long long)step, what, name);
    exit(1);
}

static void mount_it(void)
{
    for (int i = 0; mount(tag, "/d", "9p", 0, "trans=xen,version=9p2000.L") != 0; i++) {
        if (i == 600)
            fail("mounting /d");
        usleep(100000);
    }
}

static void open_log(void)
{
    log_fd = open(DATA "log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (log_fd < 0)
        broken("opening", "log");
}

static bool lost(void) { return errno == EPROTO || errno == EIO || errno == EINVAL || errno == ENOTCONN; }

static void remount(void)
{
    bool had_log = log_fd >= 0;
    if (had_log)
        close(log_fd);
    log_fd = -1;
    while (umount2("/d", MNT_FORCE) != 0 && errno == EBUSY)
        usleep(100000);
    mount_it();
    if (had_log)
        open_log();
    remounted = true;
    say("remounted at step %llu", (unsigned long long)step);
}

/* Makes a call until it does not fail for the lack of a server. */
#define CALL(call) ({ \
    __typeof__(call) result_; \
    while ((result_ = (call)) < 0 && lost()) \
        remount(); \
    result_; })

static void expect(long result, const char *what, const char *name)
{
    if (result < 0)
        broken(what, name);
}

static const char *name_of(char kind, uint64_t n)
{
    static char name[2][64];
    static int turn;
    turn ^= 1;
    snprintf(name[turn], sizeof name[turn], DATA "%c%llu", kind, (unsigned long long)n);
    return name[turn];
}

static int line_of(char *line, uint64_t k, uint64_t h)
{
    return sprintf(line, "%llu %016llx\n", (unsigned long long)k, (unsigned long long)h);
}

static void write_file(const char *name, const char *text, int length)
{
    int fd = CALL(open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    expect(fd, "making", name);
    /* A server that is gone knows no open file: then the file is made again. */
    while (write(fd, text, length) != length) {
        if (!lost())
            broken("writing", name);
        close(fd);
        remount();
        fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        expect(fd, "making", name);
    }
    close(fd);
}

static int read_file(const char *name, char *text, int size)
{
    for (;;) {
        int fd = CALL(open(name, O_RDONLY | O_CLOEXEC)), n, length = 0;
        expect(fd, "opening", name);
        while ((n = read(fd, text + length, size - length)) > 0)
            length += n;
        int error = errno;
        close(fd);
        if (n == 0)
            return length;
        errno = error;
        if (!lost())
            broken("reading", name);
        remount();
    }
}

static void take_step(void)
{
    char line[64];
    step++;
    hash = mix(hash + step);
    line_hash[step % (2 * LINES)] = hash;
    if (step - log_first == LINES) {
        close(log_fd);
        log_fd = -1;
        expect(CALL(rename(DATA "log", DATA "log.old")), "moving", "log");
        old_first = log_first;
        log_first = step;
        int fd = CALL(open(DATA "log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
        expect(fd, "opening", "log");
        log_fd = fd;
    }
    int length = line_of(line, step, hash);
    expect(CALL(write(log_fd, line, length)), "writing", "log");
    write_file(DATA "new", line, length);
    expect(CALL(rename(DATA "new", name_of('f', step % SLOTS))), "moving", "new");
    slot_step[step % SLOTS] = step;
    slot_hash[step % SLOTS] = hash;
    write_file(name_of('g', step), "", 0);
    if (step > KEPT)
        expect(CALL(unlink(name_of('g', step - KEPT))), "removing", "g");
    if (step % 2) {
        expect(CALL(mkdir(DATA "d", 0755)), "making", "d");
        write_file(DATA "d/x", line, length);
    } else {
        expect(CALL(unlink(DATA "d/x")), "removing", "d/x");
        expect(CALL(rmdir(DATA "d")), "removing", "d");
    }
}

static void verify_text(const char *name, const char *expected, int length)
{
    char text[4096];
    int n = read_file(name, text, sizeof text);
    errno = 0;
    if (n != length || memcmp(text, expected, length) != 0) {
        say("BROKEN at step %llu: %s has '%.*s' instead of '%.*s'", (unsigned long long)step, name, n > 100 ? 100 : n, text,
            length > 100 ? 100 : length, expected);
        exit(1);
    }
}

static void verify_log(const char *name, uint64_t first, uint64_t behind)
{
    char text[4096];
    int length = 0;
    for (uint64_t k = first; k < behind; k++)
        length += line_of(text + length, k, line_hash[k % (2 * LINES)]);
    verify_text(name, text, length);
}

/* What this step wrote; or all. */
static void verify(bool all)
{
    char line[64];
    verify_log(DATA "log", log_first, step + 1);
    verify_text(name_of('f', step % SLOTS), line, line_of(line, step, hash));
    if (!all)
        return;
    if (old_first > 0)
        verify_log(DATA "log.old", old_first, log_first);
    for (int i = 0; i < SLOTS; i++)
        if (slot_step[i] > 0)
            verify_text(name_of('f', i), line, line_of(line, slot_step[i], slot_hash[i]));
    if (step % 2)
        verify_text(DATA "d/x", line, line_of(line, step, hash));

    /* What there is besides. */
    unsigned expected = 1 + (old_first > 0) + (step < SLOTS ? step : SLOTS) + (step < KEPT ? step : KEPT) + step % 2, found;
    for (;;) {
        DIR *directory;
        while ((directory = opendir(DATA)) == NULL && lost())
            remount();
        if (directory == NULL)
            broken("opening", DATA);
        struct dirent *entry;
        found = 0;
        errno = 0;
        while ((entry = readdir(directory)) != NULL)
            found += entry->d_name[0] != '.';
        int error = errno;
        closedir(directory);
        errno = error;
        if (!lost())
            break;
        remount();
    }
    if (found != expected) {
        say("BROKEN at step %llu: %u entries instead of %u", (unsigned long long)step, found, expected);
        exit(1);
    }
    for (uint64_t k = step < KEPT ? 1 : step - KEPT + 1; k <= step; k++) {
        struct stat stat_of;
        expect(CALL(stat(name_of('g', k), &stat_of)), "looking at", "g");
    }
}

int main(void)
{
    uint64_t period = number("scribe.period", 20);
    const char *given = parameter("scribe.tag");
    if (given != NULL)
        tag = strdup(given);
    mkdir("/d", 0755);
    mount_it();
    log_first = 1;
    open_log();
    for (;;) {
        take_step();
        bool all = remounted;
        verify(all || step % SLOTS == 0);
        if (all) {
            say("verified at step %llu", (unsigned long long)step);
            remounted = false;
        }
        say("step %llu hash %016llx ms %llu", (unsigned long long)step, (unsigned long long)hash,
            (unsigned long long)now_ms());
        usleep(period * 1000);
    }
}
