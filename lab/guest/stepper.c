/*
 * A guest that can tell whether its memory and its disk are of the same moment.
 *
 * Step k has the hash h(k) = mix(h(k-1) + k). It rewrites pseudo-random pages of a buffer and one block of the disk,
 * all stamped with k and h(k). A table says for each page which step wrote it last, so a page that is older or newer
 * than the table shows, and so does a disk that is older or newer than memory. Before each step everything that
 * the step relies on is verified; the first disagreement is printed as BROKEN and ends the program.
 *
 * Kernel command line:
 *   stepper.pages=N      pages of the buffer, a power of two (1024)
 *   stepper.write=N      pages rewritten each step (64)
 *   stepper.period=MS    time from one step to the next (100)
 *   stepper.blocks=N     blocks of 4 KiB used on /dev/xvda (256, or as many as it has)
 *   stepper.verify=all   verify the whole buffer each step, not only headers and a moving part
 *   stepper.seed=N       (1)
 *   stepper.gaps=1       print after each step for how long the guest stood still at most since the step before
 *   stepper.cpus=1       take each step on the next processor, and print after it which that was and how many are online; those
 *                        that were plugged in are put online first, as udev does
 *   stepper.clock=1      print after each step what the guest's two clocks say, in milliseconds: the wall clock, the monotonic
 *
 * Output, a line a step: step K hash H pages P ms T, with P pages written since the start and T milliseconds of
 * the guest's monotonic clock. With gaps, also: gap G us. It is told by the time-stamp counter, which goes on while the
 * guest is suspended; the monotonic clock does not. With cpus, also: cpu C of N. With clock, also: clock W M.
 */
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/random.h>

enum { PAGE = 4096, WORDS = PAGE / 8, HEADER = 5, ROLLING = 64 };
static const uint64_t MEMORY_MAGIC = 0x5854454d50504741u, DISK_MAGIC = 0x5854444953424c4bu;

/* A stamped page or block. Words from HEADER on are filled from the header. */
struct page {
    uint64_t magic, step, hash, index, run;
    uint64_t fill[WORDS - HEADER];
};
_Static_assert(sizeof(struct page) == PAGE, "a stamp covers a page");

static struct page *buffer;
static uint64_t pages, *page_step, *page_hash;
static int disk = -1;
static uint64_t blocks, *block_hash;
static struct page *block;
static uint64_t run, step, hash, written;

static uint64_t next_fill(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ (x << 17);
}

static void stamp(struct page *p, uint64_t magic, uint64_t index)
{
    *p = (struct page){ .magic = magic, .step = step, .hash = hash, .index = index, .run = run };
    uint64_t x = mix(hash + index) | 1;
    for (int i = 0; i < WORDS - HEADER; i++)
        p->fill[i] = x = next_fill(x);
}

static bool header_is(const struct page *p, uint64_t magic, uint64_t index, uint64_t at, uint64_t with)
{
    return p->magic == magic && p->step == at && p->hash == with && p->index == index && p->run == run;
}

/* The first word of the fill that is wrong, or -1. */
static int wrong_fill(const struct page *p)
{
    uint64_t x = mix(p->hash + p->index) | 1;
    for (int i = 0; i < WORDS - HEADER; i++)
        if (p->fill[i] != (x = next_fill(x)))
            return i;
    return -1;
}

static void broken(const char *where, const struct page *p, uint64_t index, uint64_t at, uint64_t with)
{
    say("BROKEN at step %llu: %s %llu holds step %llu hash %016llx index %llu magic %016llx run %016llx, "
        "not step %llu hash %016llx run %016llx; first wrong word of its contents: %d",
        (unsigned long long)step, where, (unsigned long long)index, (unsigned long long)p->step,
        (unsigned long long)p->hash, (unsigned long long)p->index, (unsigned long long)p->magic,
        (unsigned long long)p->run, (unsigned long long)at, (unsigned long long)with, (unsigned long long)run,
        wrong_fill(p));
    exit(1);
}

static void verify_page(uint64_t i, bool contents)
{
    if (!header_is(&buffer[i], MEMORY_MAGIC, i, page_step[i], page_hash[i]) ||
        (contents && wrong_fill(&buffer[i]) >= 0))
        broken("memory page", &buffer[i], i, page_step[i], page_hash[i]);
}

static void transfer(bool out, uint64_t index)
{
    off_t at = (off_t)index * PAGE;
    ssize_t n = out ? pwrite(disk, block, PAGE, at) : pread(disk, block, PAGE, at);
    if (n != PAGE) {
        say("BROKEN at step %llu: %s disk block %llu: %s", (unsigned long long)step, out ? "writing" : "reading",
            (unsigned long long)index, n < 0 ? strerror(errno) : "short transfer");
        exit(1);
    }
}

/* The block that step `at` wrote must be there as it was written. */
static void verify_block(uint64_t at)
{
    uint64_t index = at % blocks;
    transfer(false, index);
    if (!header_is(block, DISK_MAGIC, index, at, block_hash[index]) || wrong_fill(block) >= 0)
        broken("disk block", block, index, at, block_hash[index]);
}

static void verify(bool all)
{
    for (uint64_t i = 0; i < pages; i++)
        verify_page(i, all || ((i - step * ROLLING) & (pages - 1)) < ROLLING);
    if (disk < 0 || step == 0)
        return;

    /* What the last step wrote: a disk that is older than memory fails here. */
    verify_block(step);
    /* What the next step overwrites, written a whole turn ago: a disk that is newer than memory fails here. */
    uint64_t next = step + 1;
    if (next > blocks) {
        verify_block(next - blocks);
    } else {
        transfer(false, next % blocks);
        if (block->magic == DISK_MAGIC && block->run == run)
            broken("disk block", block, next % blocks, 0, 0);
    }
    /* And one more, so that every block is looked at again and again. */
    uint64_t reach = step < blocks ? step : blocks;
    verify_block(step - mix(hash) % reach);
}

static void open_disk(void)
{
    disk = open("/dev/xvda", O_RDWR | O_DIRECT | O_CLOEXEC);
    if (disk < 0) {
        if (errno != ENOENT && errno != ENXIO)
            fail("/dev/xvda");
        return;
    }
    off_t bytes = lseek(disk, 0, SEEK_END);
    if (bytes < 0)
        fail("/dev/xvda");
    blocks = number("stepper.blocks", 256);
    if (blocks > (uint64_t)bytes / PAGE)
        blocks = bytes / PAGE;
    if (blocks < 2) {
        say("guest: /dev/xvda has %llu bytes, the stepper needs two blocks of 4096", (unsigned long long)bytes);
        exit(2);
    }
    block_hash = calloc(blocks, sizeof *block_hash);
    if (block_hash == NULL || posix_memalign((void **)&block, PAGE, PAGE) != 0)
        fail("memory for the disk");
}

/* Visits the buffer in turns: in each one every page once, in an order that the hash at its start decides. An odd
 * stride makes it a permutation. */
static uint64_t next_page(void)
{
    static uint64_t visited, at, stride;
    if (visited++ % pages == 0) {
        at = mix(hash);
        stride = mix(at) | 1;
    }
    return (at += stride) & (pages - 1);
}

/* The longest time between two looks at the time-stamp counter by a process that does little else, in its ticks. */
static _Atomic uint64_t *longest;
static uint64_t ticks_per_ms;

static uint64_t ticks(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static void watch_gaps(void)
{
    enum { CALIBRATION_MS = 500 };
    longest = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (longest == MAP_FAILED)
        fail("memory for gaps");
    uint64_t begin = now_ms(), first = ticks();
    while (now_ms() < begin + CALIBRATION_MS)
        ;
    ticks_per_ms = (ticks() - first) / CALIBRATION_MS;
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child > 0)
        return;
    for (uint64_t last = ticks();;) {
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
        uint64_t now = ticks(), gap = now - last;
        last = now;
        uint64_t seen = atomic_load(longest);
        while (gap > seen && !atomic_compare_exchange_weak(longest, &seen, gap))
            ;
    }
}

/* Writes 1 where a processor that is there is not online: the kernel leaves that to user space. */
static void put_online(int cpu)
{
    char name[64], state = 0;
    snprintf(name, sizeof name, "/sys/devices/system/cpu/cpu%d/online", cpu);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && read(fd, &state, 1) == 1 && state == '0' && pwrite(fd, "1", 1, 0) != 1)
        say("guest: processor %d does not come online: %m", cpu);
    if (fd >= 0)
        close(fd);
}

/* Goes on on the next processor that is online, and returns how many are. One whose virtual processor does not run lets the
 * guest stand still. */
static int change_cpu(void)
{
    enum { CPUS = 64 };
    static int last = -1;
    cpu_set_t online, one;
    for (int i = 0; i < CPUS; i++)
        put_online(i);
    memset(&online, 0xff, sizeof online);
    if (sched_setaffinity(0, sizeof online, &online) != 0 || sched_getaffinity(0, sizeof online, &online) != 0)
        fail("processors");
    do
        last = (last + 1) % CPUS;
    while (!CPU_ISSET(last, &online));
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    /* It may have gone offline meanwhile: then the step is taken wherever it can be. */
    sched_setaffinity(0, sizeof one, &one);
    return CPU_COUNT(&online);
}

static void say_clock(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    say("clock %llu %llu", (unsigned long long)wall.tv_sec * 1000 + wall.tv_nsec / 1000000, (unsigned long long)now_ms());
}

int main(void)
{
    pages = number("stepper.pages", 1024);
    uint64_t writes = number("stepper.write", 64), period = number("stepper.period", 100);
    const char *verify_option = parameter("stepper.verify");
    bool all = verify_option != NULL && strcmp(verify_option, "all") == 0;
    if (pages < ROLLING || (pages & (pages - 1)) != 0 || writes > pages || period == 0) {
        say("guest: stepper.pages is a power of two from %d on, stepper.write at most that, stepper.period at least 1",
            ROLLING);
        return 2;
    }
    buffer = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page_step = calloc(pages, sizeof *page_step);
    page_hash = calloc(pages, sizeof *page_hash);
    if (buffer == MAP_FAILED || page_step == NULL || page_hash == NULL)
        fail("memory for the buffer");
    open_disk();

    /* Tells the blocks of this run from those of an earlier one on the same disk. */
    if (getrandom(&run, sizeof run, 0) != sizeof run)
        fail("getrandom");
    hash = mix(number("stepper.seed", 1));
    for (uint64_t i = 0; i < pages; i++) {
        stamp(&buffer[i], MEMORY_MAGIC, i);
        page_hash[i] = hash;
    }
    say("stepper: %llu pages, %llu written every %llu ms, %llu disk blocks", (unsigned long long)pages,
        (unsigned long long)writes, (unsigned long long)period, (unsigned long long)blocks);

    bool gaps = number("stepper.gaps", 0) != 0;
    if (gaps)
        watch_gaps();

    bool cpus = number("stepper.cpus", 0) != 0, clock = number("stepper.clock", 0) != 0;
    uint64_t due = now_ms();
    for (;;) {
        int online = cpus ? change_cpu() : 0;
        verify(all);
        step++;
        hash = mix(hash + step);
        for (uint64_t i = 0; i < writes; i++) {
            uint64_t page = next_page();
            stamp(&buffer[page], MEMORY_MAGIC, page);
            page_step[page] = step;
            page_hash[page] = hash;
        }
        written += writes;
        if (disk >= 0) {
            uint64_t index = step % blocks;
            stamp(block, DISK_MAGIC, index);
            transfer(true, index);
            if (fdatasync(disk) != 0)
                fail("fdatasync");
            block_hash[index] = hash;
        }
        say("step %llu hash %016llx pages %llu ms %llu", (unsigned long long)step, (unsigned long long)hash,
            (unsigned long long)written, (unsigned long long)now_ms());
        if (gaps)
            say("gap %llu us", (unsigned long long)(atomic_exchange(longest, 0) * 1000 / ticks_per_ms));
        if (cpus)
            say("cpu %d of %d", sched_getcpu(), online);
        if (clock)
            say_clock();

        /* A fixed rhythm; one that cannot be kept starts anew instead of being made up for in a burst. */
        due += period;
        uint64_t now = now_ms();
        if (due < now)
            due = now;
        uint64_t wait = due - now;
        nanosleep(&(struct timespec){ .tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000 }, NULL);
    }
}
