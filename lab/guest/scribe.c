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
 * A guest that was restored finds its mount without a server that knows it: a call fails with EPROTO, EIO or EINVAL, or
 * waits for ever, where it came before Linux's 9pfs frontend had new rings. Neither has an effect on the directory. So one
 * process works, and another one waits for the frontend to say "suspend/resume unsupported": it takes the mount away by
 * force, ends the first one, mounts the directory anew, prints "remounted at step K", and lets a new process go on with
 * the part of the step that was not done. After that step "verified at step K" is printed.
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
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SLOTS = 8, KEPT = 3, LINES = 16, PARTS = 9 };
#define DATA "/d/data/"

/* What the program knows, in memory that its processes share. */
static struct {
    uint64_t step, hash, slot_hash[SLOTS], slot_step[SLOTS], log_first, old_first, line_hash[2 * LINES];
    /* Parts of the present step that are done. */
    int done;
    bool remounted;
    /* The working process found its mount gone, and does nothing more. */
    volatile bool paused;
} *st;
#define step st->step
#define hash st->hash
#define slot_hash st->slot_hash
#define slot_step st->slot_step
#define log_first st->log_first
#define old_first st->old_first
#define line_hash st->line_hash

static int log_fd = -1;
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

static bool lost(void) { return errno == EPROTO || errno == EIO || errno == EINVAL || errno == ENOTCONN; }

/* The other process ends this one. */
static _Noreturn void give_up(void)
{
    st->paused = true;
    for (;;)
        pause();
}

#define CALL(call) ({ \
    __typeof__(call) result_ = (call); \
    if (result_ < 0 && lost()) \
        give_up(); \
    result_; })

static void expect(long result, const char *what, const char *name)
{
    if (result < 0)
        broken(what, name);
}

static void open_log(void)
{
    log_fd = CALL(open(DATA "log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
    expect(log_fd, "opening", "log");
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
    if (CALL(write(fd, text, length)) != length)
        broken("writing", name);
    close(fd);
}

static int read_file(const char *name, char *text, int size)
{
    int fd = CALL(open(name, O_RDONLY | O_CLOEXEC)), n, length = 0;
    expect(fd, "opening", name);
    while ((n = CALL(read(fd, text + length, size - length))) > 0)
        length += n;
    expect(n, "reading", name);
    close(fd);
    return length;
}

/* One part of a step: one call that changes the directory, or some that can be made again. */
static void take_part(int part, const char *line, int length)
{
    switch (part) {
    case 0:
        if (step - log_first == LINES) {
            expect(CALL(rename(DATA "log", DATA "log.old")), "moving", "log");
            old_first = log_first;
            log_first = step;
        }
        break;
    case 1:
        if (step == log_first) {
            close(log_fd);
            open_log();
        }
        break;
    case 2:
        expect(CALL(write(log_fd, line, length)), "writing", "log");
        break;
    case 3:
        write_file(DATA "new", line, length);
        break;
    case 4:
        expect(CALL(rename(DATA "new", name_of('f', step % SLOTS))), "moving", "new");
        slot_step[step % SLOTS] = step;
        slot_hash[step % SLOTS] = hash;
        break;
    case 5:
        write_file(name_of('g', step), "", 0);
        break;
    case 6:
        if (step > KEPT)
            expect(CALL(unlink(name_of('g', step - KEPT))), "removing", "g");
        break;
    case 7:
        if (step % 2)
            expect(CALL(mkdir(DATA "d", 0755)), "making", "d");
        else
            expect(CALL(unlink(DATA "d/x")), "removing", "d/x");
        break;
    case 8:
        if (step % 2)
            write_file(DATA "d/x", line, length);
        else
            expect(CALL(rmdir(DATA "d")), "removing", "d");
        break;
    }
}

static void take_step(void)
{
    char line[64];
    if (st->done == PARTS) {
        step++;
        hash = mix(hash + step);
        line_hash[step % (2 * LINES)] = hash;
        st->done = 0;
    }
    int length = line_of(line, step, hash);
    while (st->done < PARTS) {
        take_part(st->done, line, length);
        st->done++;
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
    DIR *directory = opendir(DATA);
    struct dirent *entry;
    if (directory == NULL && lost())
        give_up();
    if (directory == NULL)
        broken("opening", DATA);
    found = 0;
    errno = 0;
    while ((entry = readdir(directory)) != NULL)
        found += entry->d_name[0] != '.';
    if (lost())
        give_up();
    closedir(directory);
    if (found != expected) {
        say("BROKEN at step %llu: %u entries instead of %u", (unsigned long long)step, found, expected);
        exit(1);
    }
    for (uint64_t k = step < KEPT ? 1 : step - KEPT + 1; k <= step; k++) {
        struct stat stat_of;
        expect(CALL(stat(name_of('g', k), &stat_of)), "looking at", "g");
    }
}

static _Noreturn void work(uint64_t period)
{
    open_log();
    for (;;) {
        take_step();
        bool all = st->remounted;
        verify(all || step % SLOTS == 0);
        if (all) {
            say("verified at step %llu", (unsigned long long)step);
            st->remounted = false;
        }
        say("step %llu hash %016llx ms %llu", (unsigned long long)step, (unsigned long long)hash,
            (unsigned long long)now_ms());
        usleep(period * 1000);
    }
}

/* True where a process waits in the kernel for what no signal but SIGKILL ends. */
static bool waits(pid_t pid)
{
    char name[32], text[256];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC), n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *behind = strrchr(text, ')');
    return behind != NULL && behind[2] == 'D';
}

/* Until the frontend has its new rings: a request before that would wait for ever. */
static void wait_for_rings(void)
{
    char state[16] = "";
    while (strncmp(state, "Connected", 9) != 0) {
        usleep(50000);
        int fd = open("/sys/bus/xen/devices/9pfs-0/state", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, state, sizeof state) <= 0)
            state[0] = 0;
        close(fd);
    }
}

static void wait_for_restore(int kmsg, pid_t worker)
{
    char record[2048];
    for (;;) {
        struct pollfd ready = { .fd = kmsg, .events = POLLIN };
        poll(&ready, 1, 1000);
        /* One that found something wrong has said so. */
        if (waitpid(worker, NULL, WNOHANG) == worker)
            exit(1);
        ssize_t n;
        while ((n = read(kmsg, record, sizeof record - 1)) > 0) {
            record[n] = 0;
            if (strstr(record, "suspend/resume unsupported") != NULL)
                return;
        }
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
    st = mmap(NULL, sizeof *st, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (st == MAP_FAILED || kmsg < 0)
        fail("starting");
    lseek(kmsg, 0, SEEK_END);
    log_first = 1;
    st->done = PARTS;
    for (;;) {
        pid_t worker = fork();
        if (worker == 0)
            work(period);
        wait_for_restore(kmsg, worker);
        /* From here on a new call on the mount fails at once; one that waits already does so for ever. */
        umount2("/d", MNT_FORCE | MNT_DETACH);
        for (int quiet = 0; !st->paused && quiet < 10; quiet = waits(worker) ? quiet + 1 : 0)
            usleep(100000);
        wait_for_rings();
        /* Not before: where it ends, the kernel gives back the files that it has open, and waits for an answer. One that gets
         * none stays as it is, and does nothing more. */
        kill(worker, SIGKILL);
        for (int quiet = 0; waitpid(worker, NULL, WNOHANG) != worker && quiet < 10; quiet = waits(worker) ? quiet + 1 : 0)
            usleep(100000);
        mount_it();
        st->paused = false;
        st->remounted = true;
        say("remounted at step %llu", (unsigned long long)step);
    }
}
